package upstream

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
)

// The texts of errors that were logged: nothing in them is AnyFrame's, wherever in the
// tree its errors are.
func TestDescribe_Tree_NothingOfAnyFrame(t *testing.T) {
	failed := func(id string, status int, message string) error {
		return &anyframe.Error{Method: "GET", Path: "/api/sessions/" + id, StatusCode: status, Message: message}
	}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"one":         {fmt.Errorf("look: %w", failed("s1", 500, "words")), "look: anyframe: get: 500 Internal Server Error"},
		"no response": {failed("s1", 0, "EOF"), "anyframe: get: EOF"},
		"joined": {
			errors.Join(failed("s1", 500, "words"), fmt.Errorf("then: %w", failed("s2", 404, "more words"))),
			"anyframe: get: 500 Internal Server Error\nthen: anyframe: get: 404 Not Found",
		},
		"one begins with the other": {
			errors.Join(failed("s1", 500, "words"), failed("s1", 500, "words of s1")),
			"anyframe: get: 500 Internal Server Error\nanyframe: get: 500 Internal Server Error",
		},
		"joined in a text": {
			fmt.Errorf("%w, and %w", failed("s1", 409, "words"), errors.Join(failed("s2", 502, "words"), errors.New("ours"))),
			"anyframe: get: 409 Conflict, and anyframe: get: 502 Bad Gateway\nours",
		},
		"states": {
			errors.Join(
				&anyframe.SessionStateError{Session: &anyframe.Session{ID: "s1", Status: "error", ErrorReason: "words of s1"}},
				&anyframe.SessionStateError{Session: &anyframe.Session{ID: "s2", Status: "paused"}},
			),
			"anyframe: session is error\nanyframe: session is paused",
		},
		"waits": {
			errors.Join(
				&anyframe.WaitTimeoutError{What: "session s1 running", Last: "pending", After: time.Second},
				&anyframe.WaitTimeoutError{What: "session s2 running", Last: "pending", After: time.Second},
			),
			"anyframe: session: not after 1s, last seen \"pending\"\nanyframe: session: not after 1s, last seen \"pending\"",
		},
		"an event":       {fmt.Errorf("read: %w", &anyframe.EventTooLargeError{ID: "words", Limit: 9}), "read: event is over 9 bytes"},
		"an empty cause": {fmt.Errorf("ours: %w", errors.New("")), "ours: "},
	} {
		if got := Describe(tt.err); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
