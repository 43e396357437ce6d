package anyframetest_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestAttention_Order_PendingIdlePaused(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(7, func(c *anyframetest.Chat) {
		switch c.Prompt() {
		case "ask":
			c.Ask("Which\n colour?", "red")
		case "permit":
			c.Permit("Bash", nil)
		case "think":
			<-c.Context().Done()
		default:
			c.Say(strings.Repeat("word ", 100))
		}
	}))
	if got := list(t, cp, "/api/attention"); len(got) != 0 {
		t.Errorf("got %v, want nothing", got)
	}
	paused1, idle1, asks := running(t, cp), running(t, cp), running(t, cp)
	permits, thinks, idle2, paused2 := running(t, cp), running(t, cp), running(t, cp), running(t, cp)
	cp.SetStatus(running(t, cp), "error")
	say(t, cp, asks, "ask")
	say(t, cp, permits, "permit")
	post(t, cp, thinks, "message", map[string]any{"prompt": "think"}, 200)
	say(t, cp, idle2, "speak")
	cp.Sleep(paused1)
	cp.Sleep(paused2)

	items := list(t, cp, "/api/attention")
	var got []any
	for _, item := range items {
		got = append(got, item["session_id"])
	}
	if order := []any{permits, asks, idle2, idle1, paused2, paused1}; !slices.Equal(got, order) {
		t.Fatalf("got sessions %v, want %v", got, order)
	}
	wantFields(t, items[0], "kind session_id agent_id agent_name session_status seq payload at preview")
	want(t, items[0], map[string]any{"kind": "pending", "agent_id": 7, "agent_name": "Scripted agent", "session_status": "running", "seq": 2})
	event := cp.Log(asks)[1]
	want(t, items[1], map[string]any{"kind": "pending", "seq": event.Seq, "payload": event.Payload, "preview": "Which colour?"})
	wantFields(t, items[2], "kind session_id agent_id agent_name at preview")
	said, _ := items[2]["preview"].(string)
	if items[2]["kind"] != "idle" || !strings.HasPrefix(said, "word word") || !strings.HasSuffix(said, "…") || len([]rune(said)) > 120 {
		t.Errorf("got %v, want it idle with the beginning of what was said", items[2])
	}
	want(t, items[3], map[string]any{"kind": "idle", "preview": nil})
	wantFields(t, items[4], "kind session_id agent_id agent_name snapshot_image_id at")
	info, _ := cp.Session(paused2)
	want(t, items[4], map[string]any{"kind": "paused", "snapshot_image_id": info.SnapshotID})
	for _, item := range items {
		if _, err := time.Parse(time.RFC3339Nano, item["at"].(string)); err != nil {
			t.Errorf("got at %v, want a time", item["at"])
		}
	}

	for limit, n := range map[string]int{"0": 1, "-1": 1, "1": 1, "4": 4, "1000": 6} {
		if got := list(t, cp, "/api/attention?limit="+limit); len(got) != n || got[0]["session_id"] != permits {
			t.Errorf("limit %s: got %v, want %d from the first", limit, got, n)
		}
	}
	wantRefused(t, cp, []refused{{"a limit that is a word", "GET", "/api/attention?limit=x", nil, 422, "query limit"}})

	cp.Answer(asks, "red")
	waitForIdleOrPrompt(t, cp, asks)
	if got := list(t, cp, "/api/attention"); got[0]["session_id"] != permits || got[1]["session_id"] != asks || got[1]["kind"] != "idle" {
		t.Errorf("got %v, want what was answered among the idle", got)
	}
}

func TestAttention_Many_FirstHundred(t *testing.T) {
	cp := anyframetest.Start(t)
	for range 101 {
		running(t, cp)
	}
	for query, n := range map[string]int{"": 20, "?limit=101": 100} {
		if got := len(list(t, cp, "/api/attention"+query)); got != n {
			t.Errorf("%q: got %d items, want %d", query, got, n)
		}
	}
}

func TestAttention_PausedForADay_Omitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cp := anyframetest.New()
		defer cp.Close()
		inMemory(t, cp, "POST", "/api/sessions", `{"agent_id":4242}`)
		cp.Sleep(cp.Sessions()[0].ID)
		for _, c := range []struct {
			wait time.Duration
			n    int
		}{{24*time.Hour - time.Second, 1}, {2 * time.Second, 0}} {
			time.Sleep(c.wait)
			_, body := inMemory(t, cp, "GET", "/api/attention", "")
			var items []any
			if err := json.Unmarshal([]byte(body), &items); err != nil || len(items) != c.n {
				t.Errorf("got %s, want %d items", body, c.n)
			}
		}
	})
}

func TestSession_Setup_BecomesBaseOfAgent(t *testing.T) {
	cp := anyframetest.Start(t)
	setup := call(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": cp.AgentID(), "is_setup_session": true}, 202)
	id, _ := setup["id"].(string)
	waitUntilRunning(t, cp, id)
	first := post(t, cp, id, "save-as-base", nil, 200)
	wantFields(t, first, "warmup_image_id warmup_inputs_hash")
	agent := call(t, cp, "GET", path("agents", cp.AgentID()), nil, 200)
	want(t, agent, map[string]any{"warmup_image_id": first["warmup_image_id"]})
	second := post(t, cp, id, "save-as-base", nil, 200)
	if second["warmup_image_id"] == first["warmup_image_id"] || second["warmup_inputs_hash"] != first["warmup_inputs_hash"] {
		t.Errorf("got %v after %v, want another image of the same inputs", second, first)
	}
	for _, image := range []any{first["warmup_image_id"], second["warmup_image_id"]} {
		if !slices.Contains(cp.Secrets(), image.(string)) {
			t.Errorf("got secrets without %v, want it among them", image)
		}
	}
	cp.Sleep(id)
	post(t, cp, id, "save-as-base", nil, 409)
	post(t, cp, running(t, cp), "save-as-base", nil, 400)
	post(t, cp, strangersID, "save-as-base", nil, 404)
}

func TestSession_FromSnapshot_Forked(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	call(t, cp, "POST", path("sessions", id, "terminate"), nil, 202)
	snapshots := list(t, cp, path("sessions", id, "snapshots"))
	if len(snapshots) != 1 {
		t.Fatalf("got snapshots %v, want one", snapshots)
	}
	wantFields(t, snapshots[0], "id modal_image_id label created_at")
	body := map[string]any{"agent_id": cp.AgentID(), "resume_from_snapshot_id": snapshots[0]["id"]}
	fork, _ := call(t, cp, "POST", "/api/sessions", body, 202)["id"].(string)
	info, _ := cp.Session(fork)
	if float64(info.From) != snapshots[0]["id"] || fork == id {
		t.Errorf("got %+v, want another session from snapshot %v", info, snapshots[0]["id"])
	}
	other := createAgent(t, cp, map[string]any{})
	body["agent_id"] = other
	call(t, cp, "POST", "/api/sessions", body, 404)
	body["agent_id"] = cp.AgentID()
	call(t, cp, "DELETE", path("sessions", id), nil, 204)
	call(t, cp, "POST", "/api/sessions", body, 404)
}
