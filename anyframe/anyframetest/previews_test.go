package anyframetest_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// previewing starts a server with an agent that has the open ports, and a running
// session of it.
func previewing(t *testing.T, opts []anyframetest.Option, ports ...int) (*anyframetest.Server, string) {
	t.Helper()
	cp := anyframetest.Start(t, opts...)
	agent := createAgent(t, cp, map[string]any{"preview_ports": append([]int{}, ports...)})
	id, _ := call(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": agent}, 202)["id"].(string)
	waitUntilRunning(t, cp, id)
	return cp, id
}

// preview applies one action to the previews of a session.
func preview(t *testing.T, cp *anyframetest.Server, id, action string, fields map[string]any) map[string]any {
	t.Helper()
	body := map[string]any{"action": action}
	maps.Copy(body, fields)
	return post(t, cp, id, "previews", body, 200)
}

// previews lists the previews with the action, whose result must match the session.
func previews(t *testing.T, cp *anyframetest.Server, id string) []map[string]any {
	t.Helper()
	raw := callRaw(t, cp, "POST", path("sessions", id, "previews"), map[string]any{"action": "list"}, 200)
	var v []map[string]any
	if err := json.Unmarshal(raw, &v); err != nil || v == nil {
		t.Fatalf("got %s, want a list", raw)
	}
	want(t, call(t, cp, "GET", path("sessions", id), nil, 200), map[string]any{"previews": v})
	return v
}

const previewResult = "ok port name url status restart_pending already_open error"

func TestPreview_OpenPort_RunsAtOnce(t *testing.T) {
	cp, id := previewing(t, nil, 3000, 4000)
	if got := previews(t, cp, id); len(got) != 0 {
		t.Errorf("got previews %v, want none", got)
	}
	web := preview(t, cp, id, "start", map[string]any{"cmd": "bun dev", "port": 4000, "name": "web"})
	wantFields(t, web, previewResult)
	want(t, web, map[string]any{
		"ok": true, "port": 4000, "name": "web", "status": "running", "restart_pending": false, "already_open": false, "error": nil,
	})
	address, _ := web["url"].(string)
	if !strings.HasPrefix(address, "https://4000-") || !slices.Contains(cp.Secrets(), address) {
		t.Errorf("got url %q, want one of the port that is a secret", address)
	}
	again := preview(t, cp, id, "start", map[string]any{"cmd": "bun dev", "name": "web"})
	want(t, again, map[string]any{"ok": true, "port": 4000, "already_open": true, "url": address})

	free := preview(t, cp, id, "start", map[string]any{"cmd": "bun api"})
	want(t, free, map[string]any{"ok": true, "port": 3000, "name": "preview-3000", "restart_pending": false})
	all := previews(t, cp, id)
	if len(all) != 2 {
		t.Fatalf("got previews %v, want 2", all)
	}
	wantFields(t, all[0], "port name cmd status url started_at exit_code")
	want(t, all[0], map[string]any{"port": 4000, "name": "web", "cmd": "bun dev", "status": "running", "url": address, "exit_code": nil})
	if began, is := all[0]["started_at"].(float64); !is || time.Since(time.UnixMicro(int64(began*1e6))).Abs() > time.Hour {
		t.Errorf("got started_at %v, want seconds since 1970", all[0]["started_at"])
	}
	want(t, preview(t, cp, id, "status", map[string]any{"port": 3000}), map[string]any{"ok": true, "name": "preview-3000", "status": "running"})
}

func TestPreview_ClosedPort_RestartsSandbox(t *testing.T) {
	cp, id := previewing(t, []anyframetest.Option{anyframetest.WithBootDelay(50 * time.Millisecond)}, 3000)
	before, _ := cp.Session(id)
	first := preview(t, cp, id, "start", map[string]any{"cmd": "one"})
	want(t, first, map[string]any{"port": 3000, "restart_pending": false})
	l := listen(t, cp, id, "")
	second := preview(t, cp, id, "start", map[string]any{"cmd": "two"})
	want(t, second, map[string]any{"ok": true, "port": 3001, "status": "starting", "url": nil, "restart_pending": true})
	l.wantEnd()
	waitUntilRunning(t, cp, id)
	after, _ := cp.Session(id)
	if after.SandboxID == before.SandboxID {
		t.Error("got the same sandbox, want another")
	}
	for _, p := range previews(t, cp, id) {
		if address, _ := p["url"].(string); p["status"] != "running" || !strings.Contains(address, after.SandboxID) {
			t.Errorf("got %v, want it running in the new sandbox", p)
		}
	}
	// The port stays open: no second restart.
	preview(t, cp, id, "stop", map[string]any{"port": 3001})
	want(t, preview(t, cp, id, "start", map[string]any{"cmd": "three", "port": 3001}), map[string]any{"status": "running", "restart_pending": false})
}

func TestPreview_Batch_AllOrNoneOneRestart(t *testing.T) {
	cp, id := previewing(t, nil, 3000)
	empty := preview(t, cp, id, "batch_start", map[string]any{"previews": []any{}})
	wantFields(t, empty, "ok restart_pending previews error")
	want(t, empty, map[string]any{"ok": true, "restart_pending": false, "previews": []any{}, "error": nil})

	before, _ := cp.Session(id)
	for name, specs := range map[string][]map[string]any{
		"port": {{"cmd": "a", "port": 5000}, {"cmd": "b", "port": 5000}},
		"name": {{"cmd": "a", "name": "x"}, {"cmd": "b", "name": "x"}},
	} {
		failed := preview(t, cp, id, "batch_start", map[string]any{"previews": specs})
		want(t, failed, map[string]any{"ok": false, "restart_pending": false, "previews": []any{}})
		if failed["error"] == nil {
			t.Errorf("same %s: got %v, want an error", name, failed)
		}
	}
	if got := previews(t, cp, id); len(got) != 0 {
		t.Errorf("got previews %v, want none", got)
	}
	batch := preview(t, cp, id, "batch_start", map[string]any{"previews": []map[string]any{
		{"cmd": "a", "port": 7000, "name": "x"}, {"cmd": "b"}, {"cmd": "c"},
	}})
	want(t, batch, map[string]any{"ok": true, "restart_pending": true, "error": nil})
	started, _ := batch["previews"].([]any)
	var ports []float64
	for _, p := range started {
		p, _ := p.(map[string]any)
		want(t, p, map[string]any{"status": "starting", "url": nil})
		ports = append(ports, p["port"].(float64))
	}
	if !slices.Equal(ports, []float64{7000, 3000, 3001}) {
		t.Errorf("got ports %v, want 7000, 3000 and 3001", ports)
	}
	after, _ := cp.Session(id)
	if boots := cp.Secrets(); after.SandboxID == before.SandboxID || count(boots, "sb-") != 2 {
		t.Errorf("got %d sandboxes, want 2", count(boots, "sb-"))
	}
	again := preview(t, cp, id, "batch_start", map[string]any{"previews": []map[string]any{{"cmd": "a", "port": 7000}}})
	want(t, again, map[string]any{"ok": true, "restart_pending": false})
	if got := previews(t, cp, id); len(got) != 3 || got[2]["status"] != "running" {
		t.Errorf("got previews %v, want three that run", got)
	}
}

func count(all []string, prefix string) (n int) {
	for _, s := range all {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func TestPreview_StopReadExit(t *testing.T) {
	cp, id := previewing(t, nil, 3000, 4000)
	preview(t, cp, id, "start", map[string]any{"cmd": "bun dev", "port": 3000, "name": "web"})
	if !cp.LogPreview(id, 3000, "GET /", "GET /favicon.ico") || cp.LogPreview(id, 9, "x") || cp.LogPreview(strangersID, 3000) {
		t.Error("got another answer, want the lines of the one preview")
	}
	logs := preview(t, cp, id, "logs", map[string]any{"name": "web", "tail": 200})
	want(t, logs, map[string]any{"lines": []string{"$ bun dev", "listening on port 3000", "GET /", "GET /favicon.ico"}})
	want(t, preview(t, cp, id, "logs", map[string]any{"port": 3000, "tail": 1}), map[string]any{"lines": []string{"GET /favicon.ico"}})
	for range 300 {
		cp.LogPreview(id, 3000, "x")
	}
	if lines, _ := preview(t, cp, id, "logs", map[string]any{"name": "web"})["lines"].([]any); len(lines) != 200 {
		t.Errorf("got %d lines, want 200", len(lines))
	}

	stopped := preview(t, cp, id, "stop", map[string]any{"name": "web"})
	wantFields(t, stopped, previewResult)
	want(t, stopped, map[string]any{"ok": true, "port": 3000, "status": "stopped", "url": nil})
	want(t, preview(t, cp, id, "stop", map[string]any{"name": "web"}), map[string]any{"ok": true, "status": "stopped"})
	want(t, preview(t, cp, id, "start", map[string]any{"cmd": "bun other", "name": "web", "port": 3000}), map[string]any{"ok": true, "already_open": false})
	if got := previews(t, cp, id); len(got) != 1 || got[0]["cmd"] != "bun other" {
		t.Errorf("got previews %v, want the new one in place of the old", got)
	}
	if !cp.ExitPreview(id, 3000, 3) || cp.ExitPreview(id, 9, 0) {
		t.Error("got another answer, want the one preview to exit")
	}
	want(t, previews(t, cp, id)[0], map[string]any{"status": "error", "exit_code": 3, "url": nil})
	preview(t, cp, id, "start", map[string]any{"cmd": "true", "port": 4000})
	cp.ExitPreview(id, 4000, 0)
	want(t, previews(t, cp, id)[1], map[string]any{"status": "stopped", "exit_code": 0})
}

func TestPreview_SandboxSleeps_SleepsAndWakes(t *testing.T) {
	cp, id := previewing(t, nil, 3000, 4000)
	preview(t, cp, id, "start", map[string]any{"cmd": "a"})
	preview(t, cp, id, "start", map[string]any{"cmd": "b"})
	preview(t, cp, id, "stop", map[string]any{"port": 4000})
	cp.Sleep(id)
	all := previews(t, cp, id)
	want(t, all[0], map[string]any{"status": "paused", "url": nil})
	want(t, all[1], map[string]any{"status": "stopped"})
	post(t, cp, id, "previews", map[string]any{"action": "start", "cmd": "c"}, 409)
	cp.Wake(id)
	all = previews(t, cp, id)
	want(t, all[0], map[string]any{"status": "running"})
	want(t, all[1], map[string]any{"status": "stopped"})
}

func TestPreview_Invalid_RefusedOrNotOK(t *testing.T) {
	cp, id := previewing(t, nil, 3000)
	preview(t, cp, id, "start", map[string]any{"cmd": "a", "port": 3000, "name": "web"})
	for name, body := range map[string]map[string]any{
		"the port of another": {"action": "start", "cmd": "b", "port": 3000},
		"the name of another": {"action": "start", "cmd": "b", "name": "web"},
		"stop nothing":        {"action": "stop", "port": 9},
		"status of nothing":   {"action": "status", "name": "nothing"},
		"logs of nothing":     {"action": "logs", "port": 3000, "name": "other"},
	} {
		failed := post(t, cp, id, "previews", body, 200)
		wantFields(t, failed, previewResult)
		if failure, is := failed["error"].(string); failed["ok"] != false || !is || failure == "" {
			t.Errorf("%s: got %v, want it not to be ok, with an error", name, failed)
		}
	}
	at := path("sessions", id, "previews")
	wantRefused(t, cp, []refused{
		{"nothing", "POST", at, map[string]any{}, 422, "body action"},
		{"an unknown action", "POST", at, map[string]any{"action": "open"}, 422, "body action"},
		{"start nothing", "POST", at, map[string]any{"action": "start"}, 422, "body cmd"},
		{"start badly", "POST", at, map[string]any{"action": "start", "cmd": "", "port": 0, "name": ""}, 422, "body cmd; body port; body name"},
		{"stop neither", "POST", at, map[string]any{"action": "stop"}, 422, "body port"},
		{"a port that is a word", "POST", at, map[string]any{"action": "status", "port": "web"}, 422, "body port"},
		{"no tail", "POST", at, map[string]any{"action": "logs", "port": 3000, "tail": 0}, 422, "body tail"},
		{"a batch of nothing", "POST", at, map[string]any{"action": "batch_start"}, 422, "body previews"},
		{"a batch that is none", "POST", at, map[string]any{"action": "batch_start", "previews": "x"}, 422, "body previews"},
		{"a bad batch", "POST", at, map[string]any{"action": "batch_start", "previews": []any{
			map[string]any{"cmd": "a"}, map[string]any{"port": 70000}, "x", nil,
		}}, 422, "body previews 1 cmd; body previews 1 port; body previews 2; body previews 3"},
		{"an unknown session", "POST", path("sessions", strangersID, "previews"), map[string]any{"action": "list"}, 404, ""},
	})
	if got := previews(t, cp, id); len(got) != 1 {
		t.Errorf("got previews %v, want the one", got)
	}
}
