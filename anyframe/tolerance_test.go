package anyframe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// variants are other ways to write a member with the same meaning, and values that
// have no meaning as its type.
func variants(f reflect.Value, value any) (same, nonsense []string) {
	kind := f.Kind()
	if kind == reflect.Pointer {
		kind = f.Type().Elem().Kind()
	}
	switch {
	case f.Type() == reflect.TypeFor[json.RawMessage](), f.Type() == reflect.TypeFor[EnvVars]():
		return nil, nil // accepts any value
	case f.Type() == reflect.TypeFor[Time]():
		return nil, []string{`"soon"`, `{}`, `true`}
	case kind == reflect.Int || kind == reflect.Int64:
		n := fmt.Sprint(value)
		return []string{n + ".0", `"` + n + `"`, `"` + n + `.0"`, n + "e0"}, []string{`"x"`, `{}`, `[]`, `true`, `""`}
	case kind == reflect.Bool && value == true:
		return []string{`1`, `1.0`, `"true"`, `"True"`, `"1"`}, []string{`"x"`, `{}`, `[]`, `""`}
	case kind == reflect.Bool:
		return []string{`0`, `0.0`, `"false"`, `"0"`}, []string{`"x"`, `{}`, `[]`}
	case kind == reflect.String || f.Type() == reflect.TypeFor[Secret]():
		return nil, []string{`{}`, `[]`, `true`}
	}
	return nil, []string{`"x"`, `5`, `true`}
}

func TestModels_MembersOfOtherType_Converted(t *testing.T) {
	tested := 0
	for _, m := range modelsOfTheAPI {
		if reflect.TypeOf(m.zero) == reflect.TypeFor[PreviewSpec]() {
			continue // is only sent
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(m.full), &members); err != nil {
			t.Fatal(err)
		}
		whole := m.decode(t, m.full)
		for _, name := range slices.Sorted(maps.Keys(members)) {
			same, nonsense := variants(fieldOf(whole, name), members[name])
			put := func(text string) reflect.Value {
				return m.decode(t, edit(t, m.full, func(o map[string]any) { o[name] = json.RawMessage(text) }))
			}
			for _, text := range same {
				if got := put(text); !reflect.DeepEqual(got.Interface(), whole.Interface()) {
					t.Errorf("%T, %s %s: got %+v, want %+v", m.zero, name, text, got, whole)
				}
				tested++
			}
			absent := m.decode(t, edit(t, m.full, func(o map[string]any) { delete(o, name) }))
			for _, text := range nonsense {
				if got := put(text); !reflect.DeepEqual(got.Interface(), absent.Interface()) {
					t.Errorf("%T, %s %s: got %+v, want it as absent, %+v", m.zero, name, text, got, absent)
				}
				tested++
			}
		}
	}
	if tested < 500 {
		t.Errorf("got %d cases, want hundreds", tested)
	}
}

func TestCalls_UnusualJSON_Decoded(t *testing.T) {
	c := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"x","agent_id":"7","status":"error","idle_timeout_s":300.5,"is_setup_session":0,"previews":[5,{"port":"80"}],"created_at":7e300,"error_reason":"no room"}`)
	})
	s, err := c.Sessions.Get(t.Context(), "x")
	if err != nil || s.AgentID != 7 || s.IdleTimeoutS != 300 || s.IsSetupSession || len(s.Previews) != 1 || s.Previews[0].Port != 80 || !s.CreatedAt.IsZero() || s.ErrorReason != "no room" {
		t.Errorf("got %+v, %v, want all that can be read", s, err)
	}
}

func TestSeq_AnyForm_Decoded(t *testing.T) {
	for _, seq := range []string{`12`, `12.0`, `"12"`, `1.2e1`} {
		c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost:
				fmt.Fprintf(w, `{"ok":1,"seq":%s}`, seq)
			case strings.HasSuffix(r.URL.Path, "attention"):
				fmt.Fprintf(w, `[{"kind":"pending","session_id":"x","agent_id":7.0,"seq":%s}]`, seq)
			default:
				fmt.Fprintf(w, `[{"seq":%s,"payload":{}}]`, seq)
			}
		})
		sent, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
		if err != nil || !sent.OK || sent.Seq == nil || *sent.Seq != 12 {
			t.Errorf("%s: got %+v, %v, want 12", seq, sent, err)
		}
		rows, err := c.Sessions.Transcript(t.Context(), "x", 0, 0)
		if err != nil || len(rows) != 1 || rows[0].Seq != 12 {
			t.Errorf("%s: got %+v, %v, want 12", seq, rows, err)
		}
		items, err := c.Attention.List(t.Context(), 0)
		if err != nil || len(items) != 1 || items[0].Seq != 12 || items[0].AgentID != 7 {
			t.Errorf("%s: got %+v, %v, want 12", seq, items, err)
		}
		if e := newBuildEvent("line", []byte(`{"offset":`+seq+`,"content":"x"}`)); e.Offset == nil || *e.Offset != 12 {
			t.Errorf("%s: got %v, want 12", seq, e.Offset)
		}
	}
	if r := newMessageResult([]byte(`{"ok":"false","seq":12.5}`)); r.OK || r.Seq != nil {
		t.Errorf("got %+v, want not OK and no seq", r)
	}
}

func TestRecord_NoID_InvalidResponse(t *testing.T) {
	tested := map[string]bool{}
	for _, o := range operations() {
		for _, id := range []string{`{}`, `{"id":null,"connector_id":null}`, `{"id":7.5,"connector_id":"x","slug":{},"url":[]}`} {
			answered := ""
			c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				body := new(bytes.Buffer)
				_, _ = body.ReadFrom(r.Body)
				status, kind, text := answerTo(r, body.String())
				if text == "[]" {
					text = "[" + id + "]"
				} else if strings.HasPrefix(text, "{") {
					text = id
				}
				answered = text
				w.Header().Set("Content-Type", kind)
				w.WriteHeader(status)
				fmt.Fprint(w, text)
			}, WithRetry(RetryPolicy{MaxRetries: -1}))
			if strings.Contains(o.name, "Wait") {
				continue // a build's status has no id of its own
			}
			err := o.call(t.Context(), c)
			if answered == "" || slices.Contains(withoutID, o.method()) {
				continue
			}
			tested[o.method()] = true
			// A session's id is a string, and 7.5 is converted to one.
			if strings.HasPrefix(id, `{"id":7.5`) && slices.Contains(sessionRecords, o.method()) {
				continue
			}
			if !errors.Is(err, ErrInvalidResponse) {
				t.Errorf("%s, %s: got %v, want ErrInvalidResponse", o.name, answered, err)
			}
		}
	}
	if len(tested) < 25 {
		t.Errorf("got %d methods, want all with records: %v", len(tested), tested)
	}
}

// withoutID lists the operations that respond with no record of their own, or with
// free JSON.
var withoutID = []string{
	"Credentials.Get", "Connectors.Discover", "Agents.Build", "Agents.BuildStatus", "Sessions.SaveAsBase", "Sessions.Message", "Sessions.Respond",
	"Sessions.Previews.List", "Sessions.Previews.Start", "Sessions.Previews.Stop", "Sessions.Previews.Status", "Sessions.Previews.Logs",
	"Sessions.Previews.BatchStart", "Attention.List",
}

var sessionRecords = []string{"Sessions.Create", "Sessions.Get", "Sessions.List", "Sessions.Resume", "Sessions.Terminate"}

func TestList_InvalidRow_Skipped(t *testing.T) {
	var log bytes.Buffer
	answer := `[5,{"id":"a","status":"running"},null,{"status":"running"},{"id":"b"}]`
	c := newServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) },
		WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	list, err := c.Sessions.List(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != "a" || list[1].ID != "b" {
		t.Errorf("got %+v, %v, want the two that can be read", list, err)
	}
	if n := strings.Count(log.String(), "a row that cannot be read"); n != 3 {
		t.Errorf("got %d lines about odd rows, want 3:\n%s", n, &log)
	}
	answer = `[{"status":"running"},5]`
	if list, err := c.Sessions.List(t.Context()); !errors.Is(err, ErrInvalidResponse) {
		t.Errorf("got %+v, %v, want ErrInvalidResponse for a list of nothing else", list, err)
	}
	answer = `[]`
	if list, err := c.Sessions.List(t.Context()); err != nil || list == nil || len(list) != 0 {
		t.Errorf("got %+v, %v, want an empty list", list, err)
	}
}

func TestTranscript_InvalidRow_DoesNotEndEarly(t *testing.T) {
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		var since, rows int
		_, _ = fmt.Sscan(r.URL.Query().Get("since"), &since)
		_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &rows)
		var list []string
		for seq := since + 1; seq <= min(since+rows, 1500); seq++ {
			if seq == 500 {
				list = append(list, `"odd"`)
				continue
			}
			list = append(list, fmt.Sprintf(`{"seq":%d}`, seq))
		}
		fmt.Fprintf(w, "[%s]", strings.Join(list, ","))
	})
	n := 0
	for _, err := range c.Sessions.TranscriptAll(t.Context(), "x", 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1499 {
		t.Errorf("got %d rows, want all 1499 that can be read", n)
	}
}

func TestAgentParts_NoID_Skipped(t *testing.T) {
	var d AgentDetail
	text := `{"id":1,"skills":[{"name":"x"},` + skillJSON + `],"mcps":[{},` + mcpJSON + `],"connectors":[5,{},` + toggleJSON + `]}`
	if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Skills) != 1 || len(d.MCPs) != 1 || len(d.Connectors) != 1 {
		t.Errorf("got %+v, %v, want one of each", d, err)
	}
}
