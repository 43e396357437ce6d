package httpapi

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/strictjson"
)

// The parser's input is chosen by the visitor.

func FuzzResponseBody(f *testing.F) {
	for _, body := range []string{`{"id":"p1-1","answer":"yes"}`, `{"id":"p1-1","decision":"approve"}`, `{"id":{}}`, `{"id":"\n"}`, `{"":""}`, `{"id":"a","id":"b"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var id, answer, decision string
		err := strictjson.Decode(body, "", strictjson.Fields{"id": &id, "answer": &answer, "decision": &decision})
		if err == nil && !json.Valid(body) {
			t.Errorf("%q: taken, want it refused: it is not JSON", body)
		}
		if err != nil && problem.Of(err).Status != http.StatusBadRequest {
			t.Errorf("%q: got %v, want a bad request", body, err)
		}
	})
}
