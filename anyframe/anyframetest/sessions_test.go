package anyframetest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

const strangersID = "00000000-0000-4000-8000-000000000000"

func TestKey_Missing_Refused(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithKey("afm_right"))
	for _, auth := range []string{"", "Bearer afm_wrong", "Basic afm_right", "afm_right"} {
		for _, path := range []string{"/api/me", "/api/sessions/" + strangersID + "/events"} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", cp.URL()+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", auth)
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			var body struct{ Detail string }
			if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != 401 || body.Detail == "" {
				t.Errorf("%q on %s: got %d %q, want 401 with a detail", auth, path, res.StatusCode, body.Detail)
			}
		}
	}
	if got := call(t, cp, "GET", "/api/me", nil, 200)["login"]; got != "operator" {
		t.Errorf("got login %v, want operator", got)
	}
}

func TestKey_Default_UniqueAndWellFormed(t *testing.T) {
	one, two := anyframetest.New(), anyframetest.New()
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	if !strings.HasPrefix(one.Key(), "afm_test_") || one.Key() == two.Key() {
		t.Errorf("got keys %q and %q, want two that begin with afm_test_", one.Key(), two.Key())
	}
}

func TestAgent_BuildStatus_Shown(t *testing.T) {
	built := anyframetest.Start(t, anyframetest.WithAgent(7, nil))
	if got := call(t, built, "GET", "/api/agents/7", nil, 200)["image"]; got == nil {
		t.Error("got no image, want one")
	}
	if got := call(t, built, "GET", "/api/agents/7/build/status", nil, 200)["state"]; got != "succeeded" {
		t.Errorf("got state %v, want succeeded", got)
	}
	bare := anyframetest.Start(t, anyframetest.WithAgent(7, nil), anyframetest.WithoutImage())
	if got := call(t, bare, "GET", "/api/agents/7", nil, 200)["image"]; got != nil {
		t.Errorf("got image %v, want none", got)
	}
	if got := call(t, bare, "GET", "/api/agents/7/build/status", nil, 200)["state"]; got != nil {
		t.Errorf("got state %v, want none", got)
	}
}

func TestSession_UnknownOrNotAllowed_Refused(t *testing.T) {
	cp := anyframetest.Start(t)
	agent := cp.AgentID()
	live := running(t, cp)
	for _, c := range []struct {
		name, method, path string
		body               any
		status             int
		loc                string // of the first issue, for 422
	}{
		{"unknown path", "GET", "/api/nothing", nil, 404, ""},
		{"outside of the API", "GET", "/", nil, 404, ""},
		{"wrong method", "PUT", "/api/sessions", nil, 405, ""},
		{"unknown agent", "GET", "/api/agents/9", nil, 404, ""},
		{"agent by name", "GET", "/api/agents/bob", nil, 422, "path agent_id"},
		{"unknown session", "GET", "/api/sessions/" + strangersID, nil, 404, ""},
		{"session id that is none", "GET", "/api/sessions/x", nil, 422, "path session_id"},
		{"create without agent", "POST", "/api/sessions", map[string]any{}, 422, "body agent_id"},
		{"create without body", "POST", "/api/sessions", nil, 422, "body agent_id"},
		{"create with an agent that is a string", "POST", "/api/sessions", map[string]any{"agent_id": "1"}, 422, "body agent_id"},
		{"create for an unknown agent", "POST", "/api/sessions", map[string]any{"agent_id": 9}, 404, ""},
		{"create with no time to idle", "POST", "/api/sessions", map[string]any{"agent_id": agent, "idle_timeout_s": 0}, 422, "body idle_timeout_s"},
		{"create from an unknown snapshot", "POST", "/api/sessions", map[string]any{"agent_id": agent, "resume_from_snapshot_id": 9}, 404, ""},
		{"a body that isn't JSON", "POST", "/api/sessions", "{", 422, "body"},
		{"a body that is null", "POST", "/api/sessions", "null", 422, "body"},
		{"a body that is a list", "POST", "/api/sessions", "[]", 422, "body"},
		{"resume what is live", "POST", "/api/sessions/" + live + "/resume", map[string]any{}, 409, ""},
		{"delete what is live", "DELETE", "/api/sessions/" + live, nil, 409, ""},
		{"transcript of an unknown session", "GET", "/api/sessions/" + strangersID + "/transcript", nil, 404, ""},
		{"transcript since a word", "GET", "/api/sessions/" + live + "/transcript?since=x", nil, 422, "query since"},
		{"transcript since before the start", "GET", "/api/sessions/" + live + "/transcript?since=-1", nil, 422, "query since"},
		{"transcript of nothing", "GET", "/api/sessions/" + live + "/transcript?limit=0", nil, 422, "query limit"},
		{"events of an unknown session", "GET", "/api/sessions/" + strangersID + "/events", nil, 404, ""},
		{"message to an unknown session", "POST", "/api/sessions/" + strangersID + "/message", map[string]any{"prompt": "x"}, 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := call(t, cp, c.method, c.path, c.body, c.status)
			if c.loc == "" {
				if detail, is := body["detail"].(string); !is || detail == "" {
					t.Errorf("got %v, want a text in detail", body)
				}
				return
			}
			if got := locOf(t, body); got != c.loc {
				t.Errorf("got an issue with %q, want one with %q", got, c.loc)
			}
		})
	}
}

// locOf returns the location of a 422's first issue.
func locOf(t *testing.T, body map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(body["detail"])
	if err != nil {
		t.Fatal(err)
	}
	var issues []struct {
		Loc       []any
		Msg, Type string
	}
	if err := json.Unmarshal(raw, &issues); err != nil || len(issues) == 0 || issues[0].Msg == "" || issues[0].Type == "" {
		t.Fatalf("got detail %s, want a list of issues", raw)
	}
	var loc []string
	for _, part := range issues[0].Loc {
		part, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		loc = append(loc, strings.Trim(string(part), `"`))
	}
	return strings.Join(loc, " ")
}

func TestSession_Fields_MatchContract(t *testing.T) {
	cp := anyframetest.Start(t)
	made := call(t, cp, "POST", "/api/sessions", map[string]any{
		"agent_id": cp.AgentID(), "idle_timeout_s": 60, "unsafe": true, "is_setup_session": true, "something": "else",
	}, 202)
	for _, field := range []string{
		"id", "agent_id", "status", "modal_sandbox_id", "sandbox_url", "snapshot_image_id", "idle_timeout_s",
		"previews", "is_setup_session", "created_at", "last_active",
	} {
		if _, has := made[field]; !has {
			t.Errorf("got no %s, want one", field)
		}
	}
	if made["status"] != "booting" || made["idle_timeout_s"] != 60.0 || made["is_setup_session"] != true || made["snapshot_image_id"] != nil {
		t.Errorf("got %v, want it booting, as asked for, without a snapshot", made)
	}
	for _, field := range []string{"created_at", "last_active"} {
		if _, err := time.Parse(time.RFC3339Nano, made[field].(string)); err != nil {
			t.Errorf("got %s %v, want a time: %v", field, made[field], err)
		}
	}
	info := cp.Sessions()[0]
	if info.ID != made["id"] || !info.Unsafe || !info.Setup || info.IdleTimeout != time.Minute || info.AgentID != cp.AgentID() {
		t.Errorf("got %+v, want what was asked for", info)
	}
}

func TestSession_Statuses_MatchContract(t *testing.T) {
	cp := anyframetest.Start(t)
	id := create(t, cp)
	wantStatus(t, cp, id, "running")
	post(t, cp, id, "message", map[string]any{"prompt": "x"}, 200)

	if got := post(t, cp, id, "terminate", nil, 202)["status"]; got != "snapshotting" {
		t.Errorf("got status %v in the answer, want snapshotting", got)
	}
	wantStatus(t, cp, id, "terminated")
	again := post(t, cp, id, "terminate", nil, 202)
	if again["status"] != "terminated" || again["snapshot_image_id"] == nil {
		t.Errorf("got %v, want it terminated with a snapshot", again)
	}
	post(t, cp, id, "message", map[string]any{"prompt": "x"}, 409)
	post(t, cp, id, "respond", map[string]any{"prompt_id": "x", "answer": ""}, 409)

	if got := post(t, cp, id, "resume", map[string]any{"unsafe": false}, 202)["status"]; got != "booting" {
		t.Errorf("got status %v in the answer, want booting", got)
	}
	wantStatus(t, cp, id, "running")
	say(t, cp, id, "again")

	post(t, cp, id, "terminate", nil, 202)
	var snapshots []map[string]any
	if err := json.Unmarshal(callRaw(t, cp, "GET", "/api/sessions/"+id+"/snapshots", nil, 200), &snapshots); err != nil {
		t.Fatal(err)
	}
	if len(snapshots) != 2 || snapshots[0]["id"].(float64) < snapshots[1]["id"].(float64) {
		t.Errorf("got snapshots %v, want two, newest first", snapshots)
	}
	call(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": cp.AgentID(), "resume_from_snapshot_id": snapshots[0]["id"]}, 202)

	cp.LoseSnapshots(id)
	post(t, cp, id, "resume", nil, 409)
	call(t, cp, "DELETE", "/api/sessions/"+id, nil, 204)
	call(t, cp, "GET", "/api/sessions/"+id, nil, 404)
}

func TestSession_Booting_MessageRefused(t *testing.T) {
	boots := anyframetest.Start(t, anyframetest.WithBootDelay(time.Hour), anyframetest.WithSnapshotDelay(time.Hour))
	id := create(t, boots)
	wantStatus(t, boots, id, "booting")
	post(t, boots, id, "message", map[string]any{"prompt": "x"}, 409)
	if n := len(boots.Messages(id)); n != 0 {
		t.Errorf("got %d messages accepted, want 0", n)
	}
	boots.SetStatus(id, "running")
	post(t, boots, id, "message", map[string]any{"prompt": "x"}, 200)
	post(t, boots, id, "terminate", nil, 202)
	wantStatus(t, boots, id, "snapshotting")
	post(t, boots, id, "resume", nil, 409)
	if got := post(t, boots, id, "terminate", nil, 202)["status"]; got != "snapshotting" {
		t.Errorf("got status %v, want snapshotting", got)
	}
}

func TestSession_NeverRan_ResumeRefused(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithBootDelay(time.Hour))
	id := create(t, cp)
	if got := post(t, cp, id, "terminate", nil, 202)["status"]; got != "terminated" {
		t.Errorf("got status %v, want terminated", got)
	}
	post(t, cp, id, "resume", nil, 409)
}

func TestSession_FailBoots_Error(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.FailBoots(1)
	id := create(t, cp)
	wantStatus(t, cp, id, "error")
	if body := string(callRaw(t, cp, "GET", "/api/sessions/"+id, nil, 200)); !strings.Contains(body, `"error_reason":"The scripted sandbox did not start"`) {
		t.Errorf("got %s, want the reason", body)
	}
	post(t, cp, id, "resume", nil, 409)
	wantStatus(t, cp, create(t, cp), "running")
}

func TestSession_List_NewestFirst(t *testing.T) {
	cp := anyframetest.Start(t)
	first, second := create(t, cp), create(t, cp)
	var list []map[string]any
	if err := json.Unmarshal(callRaw(t, cp, "GET", "/api/sessions", nil, 200), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0]["id"] != second || list[1]["id"] != first {
		t.Errorf("got %v, want %s before %s", list, second, first)
	}
}

func TestTranscript_Limit_Pages(t *testing.T) {
	const total = 6000
	cp := anyframetest.Start(t, anyframetest.WithSeqStep(2))
	id := running(t, cp)
	for i := range total {
		cp.Post(id, map[string]any{"type": "note", "n": i})
	}
	for _, c := range []struct {
		query       string
		n           int
		first, last int64
	}{
		{"", 1000, 1, 1999},
		{"?since=0&limit=3", 3, 1, 5},
		{"?since=1&limit=2", 2, 3, 5},
		{"?since=2&limit=2", 2, 3, 5},
		{"?limit=9000", 5000, 1, 9999},
		{"?since=9999&limit=5000", 1000, 10001, 11999},
		{"?since=11999", 0, 0, 0},
	} {
		var rows []struct {
			Seq       int64           `json:"seq"`
			Payload   json.RawMessage `json:"payload"`
			CreatedAt time.Time       `json:"created_at"`
		}
		if err := json.Unmarshal(callRaw(t, cp, "GET", "/api/sessions/"+id+"/transcript"+c.query, nil, 200), &rows); err != nil {
			t.Fatal(err)
		}
		if len(rows) != c.n {
			t.Errorf("%q: got %d rows, want %d", c.query, len(rows), c.n)
			continue
		}
		if c.n == 0 {
			continue
		}
		if got, want := [2]int64{rows[0].Seq, rows[c.n-1].Seq}, [2]int64{c.first, c.last}; got != want {
			t.Errorf("%q: got rows from and to %v, want %v", c.query, got, want)
		}
		if kind(t, string(rows[0].Payload)) != "note" || rows[0].CreatedAt.IsZero() {
			t.Errorf("%q: got row %+v, want a payload and a time", c.query, rows[0])
		}
	}
}
