package relay_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestTranscript_QueryOutOfBounds_Refused(t *testing.T) {
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	_, want := conversation(r, v)
	for query, name := range map[string]string{
		"since=-1": "since", "since=x": "since", "since=1.5": "since", "since=9223372036854775808": "since", "since=%20": "since", "since=1-5": "since",
		"limit=0": "limit", "limit=-5": "limit", "limit=1001": "limit", "limit=all": "limit", "limit=1e2": "limit", "since=1&limit=0x10": "limit",
	} {
		a := v.do("GET", "/v1/transcript?"+query, "")
		refused(t, query, a, 400, "bad_request")
		if detail, _ := a.json["detail"].(string); !strings.Contains(detail, `"`+name+`"`) {
			t.Errorf("%s: got detail %q, want one that names %s", query, detail, name)
		}
	}
	for query, n := range map[string]int{"": len(want), "?since=&limit=": len(want), "?limit=1000": len(want), "?since=0&limit=1000": len(want), "?since=4611686018427387904": 0} {
		a := v.do("GET", "/v1/transcript"+query, "")
		events, _ := a.json["events"].([]any)
		if a.status != http.StatusOK || len(events) != n || a.json["next_since"] != nil {
			t.Errorf("%q: got %d with %d events and next_since %v, want %d and none", query, a.status, len(events), a.json["next_since"], n)
		}
	}
}
