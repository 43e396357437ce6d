package upstream

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
)

// Describe returns an error's text without AnyFrame's own wording and ids, from whichever
// error of its tree they come.
func Describe(err error) string {
	text := err.Error()
	causes := causesOf(err)
	// The longest first: the text of one may begin with the whole text of another.
	slices.SortStableFunc(causes, func(a, b error) int { return cmp.Compare(len(b.Error()), len(a.Error())) })
	for _, cause := range causes {
		if raw, clean := cause.Error(), Describe(cause); clean != raw {
			text = strings.ReplaceAll(text, raw, clean)
		}
	}
	switch e := err.(type) { //nolint:errorlint // the causes were described above
	case *anyframe.Error:
		if e.Method == "" {
			return text
		}
		op := operation(e.Method, e.Path)
		if e.StatusCode >= http.StatusMultipleChoices { // then the text is AnyFrame's
			return "anyframe: " + op + ": " + strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode)
		}
		return strings.ReplaceAll(text, e.Method+" "+e.Path, op)
	case *anyframe.SessionStateError:
		if e.Session != nil { // the text may contain AnyFrame's reason
			return fmt.Sprintf("anyframe: session is %s", e.Session.Status)
		}
	case *anyframe.WaitTimeoutError:
		return strings.ReplaceAll(text, e.What, "session")
	case *anyframe.EventTooLargeError: // its id may be any text
		return fmt.Sprintf("event is over %d bytes", e.Limit)
	}
	return text
}

// causesOf returns the errors that err wraps or joins.
func causesOf(err error) []error {
	switch e := err.(type) { //nolint:errorlint // one level of the tree
	case interface{ Unwrap() []error }:
		return slices.Clone(e.Unwrap()) // the caller sorts them
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return []error{cause}
		}
	}
	return nil
}
