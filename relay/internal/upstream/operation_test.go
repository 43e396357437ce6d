package upstream

import (
	"strings"
	"testing"
)

func TestOperation_EachCall_Named(t *testing.T) {
	t.Parallel()
	for call, want := range map[string]string{
		"GET /api/me":                                  opMe,
		"POST /api/sessions":                           "create",
		"GET /api/sessions/s1":                         "get",
		"DELETE /api/sessions/s1":                      "delete",
		"POST /api/sessions/s1/resume":                 "resume",
		"POST /api/sessions/s1/terminate":              "terminate",
		"POST /api/sessions/s1/message":                "message",
		"POST /api/sessions/s1/respond":                "respond",
		"GET /api/sessions/s1/transcript":              "transcript",
		"GET /api/sessions/s1/events":                  "events",
		"GET /base/api/sessions/s1/events":             "events",
		"GET /api/sessions/s1/whatever-a-visitor-made": "other",
		"GET /api/agents":                              "other",
		"GET /elsewhere":                               "other",
	} {
		method, path, _ := strings.Cut(call, " ")
		if got := operation(method, path); got != want {
			t.Errorf("%s: got %q, want %q", call, got, want)
		}
	}
}
