package upstream

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
)

// Describe returns an error's text without AnyFrame's own wording and ids.
func Describe(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*anyframe.Error](err); ok && e.Method != "" {
		op := operation(e.Method, e.Path)
		what := strings.ReplaceAll(e.Error(), e.Method+" "+e.Path, op)
		if e.StatusCode >= http.StatusMultipleChoices { // then the text is AnyFrame's
			what = "anyframe: " + op + ": " + strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode)
		}
		text = strings.ReplaceAll(text, e.Error(), what)
	}
	if e, ok := errors.AsType[*anyframe.SessionStateError](err); ok && e.Session != nil {
		text = strings.ReplaceAll(text, e.Session.ID, "…")
	}
	if e, ok := errors.AsType[*anyframe.WaitTimeoutError](err); ok {
		text = strings.ReplaceAll(text, e.What, "session")
	}
	return text
}
