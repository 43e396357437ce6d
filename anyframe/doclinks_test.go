package anyframe

import (
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// documentation returns the package in dir as pkg.go.dev shows it: without tests.
func documentation(t *testing.T, dir string) *doc.Package {
	t.Helper()
	fset := token.NewFileSet()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, dir+"/"+e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, "github.com/anyframe-relay/relay/anyframe", doc.PreserveAST)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// comments returns all documentation of the package.
func comments(p *doc.Package) []string {
	all := []string{p.Doc}
	values := func(list []*doc.Value) {
		for _, v := range list {
			all = append(all, v.Doc)
		}
	}
	funcs := func(list []*doc.Func) {
		for _, f := range list {
			all = append(all, f.Doc)
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, t := range p.Types {
		all = append(all, t.Doc)
		values(t.Consts)
		values(t.Vars)
		funcs(t.Funcs)
		funcs(t.Methods)
	}
	return all
}

// linksIn collects the links of a comment, and text that looks like a link but is
// none.
func linksIn(text []comment.Text, links *[]comment.DocLink, plain *strings.Builder) {
	for _, x := range text {
		switch x := x.(type) {
		case comment.Plain:
			plain.WriteString(string(x))
		case comment.Italic:
			plain.WriteString(string(x))
		case *comment.DocLink:
			*links = append(*links, *x)
		case *comment.Link:
			linksIn(x.Text, links, plain)
		}
	}
}

func TestDocLinks_Targets_Exist(t *testing.T) {
	broken := regexp.MustCompile(`\[\*?[A-Za-z][\w/]*(\.[A-Z]\w*)*\]`)
	elsewhere := map[string]bool{}
	links := 0
	for _, dir := range []string{".", "anyframetest"} {
		p := documentation(t, dir)
		for _, text := range comments(p) {
			for _, block := range p.Parser().Parse(text).Content {
				var found []comment.DocLink
				var plain strings.Builder
				switch block := block.(type) {
				case *comment.Paragraph:
					linksIn(block.Text, &found, &plain)
				case *comment.List:
					for _, item := range block.Items {
						for _, b := range item.Content {
							if p, ok := b.(*comment.Paragraph); ok {
								linksIn(p.Text, &found, &plain)
							}
						}
					}
				}
				if bad := broken.FindString(plain.String()); bad != "" {
					t.Errorf("%s: %s leads nowhere in\n%s", dir, bad, text)
				}
				for _, link := range found {
					links++
					if link.ImportPath != "" {
						elsewhere[link.ImportPath+" "+strings.Trim(link.Recv+"."+link.Name, ".")] = true
					}
				}
			}
		}
	}
	if links < 80 || len(elsewhere) < 8 {
		t.Errorf("got %d links, %d of them to other packages, want many", links, len(elsewhere))
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	if src := strings.TrimSpace(string(root)) + "/src/net/http"; !declares(t, src, "Transport") || declares(t, src, "NoSuchThing") || !declares(t, src, "Client.Do") || declares(t, src, "Client.NoSuchThing") {
		t.Error("got a wrong answer about net/http")
	}
	for target := range elsewhere {
		path, name, _ := strings.Cut(target, " ")
		dir := strings.TrimSpace(string(root)) + "/src/" + path
		if inModule, ok := strings.CutPrefix(path, "github.com/anyframe-relay/relay/anyframe"); ok {
			dir = "." + inModule
		}
		if !declares(t, dir, name) {
			t.Errorf("there is no %s in %s", name, path)
		}
	}
}

// declares reports whether the package in dir declares the name, or the method with
// its receiver; "" is the package itself.
func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	recv, method, isMethod := strings.Cut(name, ".")
	text := `(?m)^(func|type|var|const)? ?\t?` + recv + `\b`
	if isMethod {
		text = `(?m)^(func \((\w+ )?\*?` + recv + `(\[.*\])?\) ` + method + `\(|\t` + method + `[ (])`
	}
	declaration := regexp.MustCompile(text)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		source, err := os.ReadFile(dir + "/" + e.Name())
		if err == nil && (name == "" || declaration.Match(source)) {
			return true
		}
	}
	return false
}

func TestPackageDoc_FirstScreen_ListsMainTypes(t *testing.T) {
	p := documentation(t, ".")
	if n := strings.Count(p.Doc, "\n"); n > 48 {
		t.Errorf("got %d lines, want one screen", n)
	}
	fields := documentation(t, ".").Types
	for _, typ := range fields {
		service, ok := strings.CutSuffix(typ.Name, "Service")
		if ok && !strings.Contains(p.Doc, service) && !strings.Contains(p.Doc, strings.TrimPrefix(service, "Agent")) {
			t.Errorf("the package's documentation does not name %s", service)
		}
	}
}
