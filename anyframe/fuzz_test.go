package anyframe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// FuzzModels checks that any bytes are decoded or refused, and that a decoded value
// survives encoding and decoding.
func FuzzModels(f *testing.F) {
	models := append([]model{{zero: AttentionItem{}, full: `{"kind":"pending","payload":{},"seq":3,"at":` + stamp + `}`}}, modelsOfTheAPI...)
	for i, m := range models {
		f.Add(i, []byte(m.full))
		f.Add(i, []byte(`{}`))
	}
	f.Add(0, []byte(`null`))
	f.Add(0, []byte(`[{"kind":[]}]`))
	f.Add(9, []byte(`{"permissions":null,"env_vars":{"A":null},"preview_ports":[1e3]}`))
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		m := models[uint(which)%uint(len(models))]
		kind := reflect.TypeOf(m.zero)
		v := reflect.New(kind).Interface()
		if json.Unmarshal(data, v) != nil {
			return
		}
		once, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if _, masked := v.(*TokenCreated); masked {
			return // the encoded form is no longer a token
		}
		again := reflect.New(kind).Interface()
		if err := json.Unmarshal(once, again); err != nil {
			t.Fatalf("%s: %v in %s", kind, err, once)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(once) {
			t.Fatalf("%s: got %s, %v, want %s", kind, twice, err, once)
		}
	})
}

// FuzzAnswers checks that for any response a call returns a value or an *Error that
// keeps the status and never contains the key.
func FuzzAnswers(f *testing.F) {
	all := operations()
	for i := range all {
		f.Add(i, 200, []byte(`[{"id":1}]`), "")
		f.Add(i, 422, []byte(`{"detail":[{"loc":["body","name"],"msg":"m","type":"t"}]}`), "1.5")
	}
	f.Add(0, 500, []byte(`{"detail":`), "Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add(0, 409, []byte(`{"detail":{"a":"`+testKey+`"}}`), "-1")
	f.Add(0, 401, []byte("\xff\xfe"), "1e300")
	f.Add(1, 204, []byte(``), "")
	f.Fuzz(func(t *testing.T, which, status int, body []byte, retryAfter string) {
		if status < 200 || status > 599 {
			return
		}
		o := all[uint(which)%uint(len(all))]
		if strings.Contains(o.name, "Wait") {
			return // would wait
		}
		header := http.Header{"Retry-After": {retryAfter}}
		c := newClient(t, WithRetry(RetryPolicy{MaxRetries: -1}), WithHTTPClient(&http.Client{Transport: roundTripper(
			func(r *http.Request) (*http.Response, error) {
				resp, err := reply(status, string(body))(r)
				resp.Header = header
				return resp, err
			})}))
		err := o.call(t.Context(), c)
		if err == nil {
			if status > 299 {
				t.Fatalf("%s: got success of %d", o.name, status)
			}
			return
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.StatusCode != status || e.Error() == "" || strings.Contains(e.Error()+string(e.Body)+string(e.Detail), testKey) {
			t.Fatalf("%s: got %v, want an *Error of %d without the key", o.name, err, status)
		}
		if e.RetryAfter != nil && *e.RetryAfter < 0 {
			t.Fatalf("got %v, want no wait into the past", *e.RetryAfter)
		}
	})
}

// FuzzBuildEvent checks that an event of a build's log is a line or a state, with
// nothing lost.
func FuzzBuildEvent(f *testing.F) {
	for _, data := range []string{
		``, `plain`, `succeeded`, `{"offset":1,"content":"x"}`, `{"text":"x"}`, `{"state":"failed"}`, `"x"`, `{"content":`, `null`,
	} {
		f.Add("line", []byte(data))
		f.Add("state", []byte(data))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		e := newBuildEvent(name, data)
		if e.State != "" && (e.Text != "" || e.Offset != nil) || e.Name != name || string(e.Data) != string(data) {
			t.Fatalf("got %+v, want a line or a state", e)
		}
		if !json.Valid(data) && name != "state" && e.Text != string(data) {
			t.Fatalf("got %q, want the data as they came", e.Text)
		}
	})
}

// FuzzTime checks that a time is parsed or refused, and that an encoded time parses
// to the same time.
func FuzzTime(f *testing.F) {
	for _, text := range []string{stamp, `1735689600.25`, `"2025-01-02 03:04:05.5"`, `null`, `-1e308`, `"9999-12-31T23:59:59-23:59"`, `[1]`, `"2025-01-01T00:00:00+24:00"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got Time
		if json.Unmarshal(data, &got) != nil {
			if !got.IsZero() {
				t.Fatalf("got %v with an error, want the zero time", got)
			}
			return
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again Time
		beyond := got.UTC().Year() < 0 || got.UTC().Year() > 9999
		if err := json.Unmarshal(text, &again); err != nil || !again.Equal(got.Time) && !beyond {
			t.Fatalf("got %v, %v, want %v", again, err, got)
		}
	})
}

// FuzzIDs checks that an id is one segment of the path or is refused.
func FuzzIDs(f *testing.F) {
	for _, id := range []string{sid, "", ".", "..", "a/b", "%2e%2e", "a.b", "linear", "a\r\nb", "{x}", "ü"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		var sent *http.Request
		c := newClient(t, WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r
			return reply(200, `{"connector_id":1}`)(r)
		})}))
		_, err := c.Connectors.InstallCatalogOAuth(t.Context(), id)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || sent != nil {
				t.Fatalf("got %v, sent %v, want ErrInvalid, not sent", err, sent != nil)
			}
			return
		}
		wire := sent.URL.EscapedPath()
		if sent.URL.Path != "/api/connectors/catalog/"+id+"/oauth" || strings.Count(wire, "/") != 5 || strings.Contains(wire, "..") || sent.URL.RawQuery != "" {
			t.Fatalf("got %s, want %q as one segment", wire, id)
		}
	})
}

// FuzzDotEnv checks that any file is parsed or refused, and that the error does not
// quote it: the invalid line may contain the key.
func FuzzDotEnv(f *testing.F) {
	for _, text := range []string{
		"ANYFRAME_API_KEY=afm_x\n", "\ufeffANYFRAME_API_KEY='afm_x", "export A=\"${B}\"\n# c", "A", "=", "A=\x00", "A: b\r\n\r",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), ".env")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		vars, err := readDotEnv(path)
		if err == nil {
			return
		}
		lines := bytes.Count(text, []byte("\n")) + 1
		said := strings.TrimPrefix(err.Error(), path+":")
		var at int
		if _, scan := fmt.Sscanf(said, "%d: not a valid line", &at); scan != nil || at < 1 || at > lines || vars != nil || said != fmt.Sprintf("%d: not a valid line", at) {
			t.Fatalf("got %v, %v, want a line number of %d and nothing else", vars, err, lines)
		}
	})
}
