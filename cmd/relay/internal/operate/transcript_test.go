package operate

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTranscript_Deltas_ReplacedByTheirBlock(t *testing.T) {
	t.Parallel()
	const (
		one, two = `{"event":"text","data":{"text":"Hello ","delta":true}},`, `{"event":"text","data":{"text":"world.","delta":true}},`
		whole    = `{"event":"text","data":{"text":"Hello world.","delta":false}},`
		asked    = `{"event":"user","data":{"text":"And then?"}},`
		rated    = `{"event":"feedback","data":{"rating":"up"}},`
		status   = `{"event":"status","data":{"state":"working"}},`
		end      = `{"event":"turn_end","data":{"reason":"done"}},`
		other    = `{"event":"text","data":{"text":"Other.","delta":false}},`
	)
	for name, tc := range map[string]struct{ events, want string }{
		"deltas and block":       {one + two + whole + end, "agent       Hello world.\nturn        done\n"},
		"visitor writes between": {one + asked + two + whole + end, "agent       Hello world.\nvisitor     And then?\nturn        done\n"},
		"rating between":         {one + two + rated + whole, "agent       Hello world.\nrated       up\n"},
		"hidden event between":   {one + status + two + whole, "agent       Hello world.\n"},
		"no block yet":           {one + asked + two, "agent       Hello world.\nvisitor     And then?\n"},
		"stopped":                {one + end + one + two + whole, "agent       Hello\nturn        done\nagent       Hello world.\n"},
		"another block":          {one + two + other, "agent       Hello world.\nagent       Other.\n"},
		"same block twice":       {one + two + whole + whole, "agent       Hello world.\nagent       Hello world.\n"},
		"only a block":           {asked + whole, "visitor     And then?\nagent       Hello world.\n"},
		"empty delta":            {`{"event":"text","data":{"text":"","delta":true}},` + one + two + whole, "agent       Hello world.\n"},
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"events":[`+tc.events[:len(tc.events)-1]+`]}`)
		}))
		defer web.Close()
		c, err := newClient(web.URL, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := transcript(t.Context(), c, []string{"default", "1"}, &options{}); err != nil || got+"\n" != tc.want {
			t.Errorf("%s: got %v and\n%s\nwant\n%s", name, err, got, tc.want)
		}
	}
}
