package problem

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Titles and details are shown to visitors.
func TestProblem_Texts_ReadLikeASupportPage(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`^[a-z_]+$`)
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || nameOf(lit) != "Problem" || len(lit.Elts) != 5 {
			return true
		}
		found++
		var text []string
		for _, e := range lit.Elts[1:4] {
			s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, s)
		}
		title, detail := text[1], text[2]
		if !code.MatchString(text[0]) {
			t.Errorf("got code %q, want lower case and underscores", text[0])
		}
		if title == "" || strings.ToUpper(title[:1]) != title[:1] || strings.ContainsAny(title, ".?!;") || len(strings.Fields(title)) > 4 {
			t.Errorf("%s: got title %q, want a heading of at most four words", text[0], title)
		}
		if !strings.HasSuffix(detail, ".") || strings.Contains(detail, ";") || strings.ToUpper(detail[:1]) != detail[:1] {
			t.Errorf("%s: got detail %q, want whole sentences", text[0], detail)
		}
		return true
	})
	if found < 25 {
		t.Errorf("got %d problems, want the whole table", found)
	}
}

// A call that the store temporarily could not serve may be retried.
func TestOf_StoreAwayOrFaster_MayBeRepeated(t *testing.T) {
	for _, err := range []error{store.ErrUnavailable, store.ErrConflict, errors.New("anything else")} {
		p := Of(fmt.Errorf("save the turn: %w", err))
		if want := errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrConflict); want != (p.Status == 503 && p.RetryAfter > 0) {
			t.Errorf("%v: got %d, after %v", err, p.Status, p.RetryAfter)
		}
	}
}

func nameOf(lit *ast.CompositeLit) string {
	if id, ok := lit.Type.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
