package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/ports"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// startRedis starts a Redis server for the test and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	testtools.Need(t, "redis-server")
	var url string
	err := ports.Try(t.Context(), func(addr string) error {
		_, port, _ := strings.Cut(addr, ":")
		cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no") //nolint:noctx // killed at the end of the test
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return err
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		said := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if said += lines.Text() + "\n"; strings.Contains(lines.Text(), "Ready to accept connections") {
				go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
				url = "redis://" + addr
				return nil
			}
		}
		return errors.New(said)
	})
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// operated holds the output of the commands with --json.
type operated struct {
	Conversations []struct {
		ID, Status, Visitor string
		Busy                bool `json:"agent_busy"`
		Prompts             []struct{ ID, Kind string }
	}
	Events []struct {
		Event string
		Data  struct{ Text string }
	}
	Days []struct {
		Site            string
		Turns, Sessions int
	}
	Erasure, Code string
}

// desk runs commands against one of two relays that share a store. The conversations belong
// to visitors of the other relay.
type desk struct {
	t                 *testing.T
	admin, url, token string
}

// does runs a command, which must exit with code, and returns its output.
func (d *desk) does(code int, args ...string) (stdout, stderr string) {
	d.t.Helper()
	got, stdout, stderr := operates(d.t, d.admin, args...)
	if got != code || (code == exitOK) != (stderr == "") || strings.Contains(stderr, operatorToken) {
		d.t.Fatalf("relay %q: got exit %d, %q and %q, want %d", args, got, stdout, stderr, code)
	}
	return stdout, stderr
}

// json is like does, with --json, and parses the output.
func (d *desk) json(code int, args ...string) (out operated) {
	d.t.Helper()
	text, _ := d.does(code, append(args, "--json")...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		d.t.Fatalf("relay %q --json: got %q, %v, want JSON", args, text, err)
	}
	return out
}

// says sends a message of the visitor to the other relay.
func (d *desk) says(text string) {
	d.t.Helper()
	if code, out := call(d.t, "POST", d.url+"/v1/messages", d.token, fmt.Sprintf(`{"text":%q}`, text)); code != http.StatusAccepted {
		d.t.Fatalf("message: got %d %v", code, out)
	}
}

func operatorsAgent(c *anyframetest.Chat) {
	switch text := c.Prompt(); {
	case strings.Contains(text, "may you"):
		c.Say(fmt.Sprint("It is ", c.Permit("Bash", map[string]any{"command": "ls"})))
	case strings.Contains(text, "work"):
		c.Say("On it.")
		<-c.Context().Done()
	default:
		c.Say("Hello \x1b[31mred.")
	}
}

func TestOperate_ConversationOfOtherReplica_ActedOnWithEachStore(t *testing.T) {
	for name, open := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "relay.db") },
		"redis":  startRedis,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plane := anyframetest.Start(t, anyframetest.WithAgent(1, operatorsAgent))
			env := append(upstream(plane), "RELAY_STORE="+open(t), "RELAY_ADMIN_ADDR=127.0.0.1:0", "RELAY_ADMIN_TOKEN=ann:"+operatorToken, "RELAY_CONSOLE_READ=on")
			holder, other := launch(t, "serve", env...), launch(t, "serve", env...)
			operateOnAll(t, &desk{t, other.admin(), holder.url, mint(t, holder.url)}, other)
		})
	}
}

func operateOnAll(t *testing.T, d *desk, other *process) {
	t.Helper()
	d.says("may you?")
	var id, prompt string
	until(t, "the prompt is listed", func() bool {
		all := d.json(exitOK, "conversations", "--waiting").Conversations
		if len(all) != 1 || len(all[0].Prompts) != 1 {
			return false
		}
		id, prompt = all[0].ID, all[0].Prompts[0].ID
		return all[0].Prompts[0].Kind == "permission"
	})
	if out, _ := d.does(exitOK, "conversations"); !strings.Contains(out, id) || !strings.Contains(out, "permission Bash "+prompt) {
		t.Errorf("conversations: got %q, want the pending prompt", out)
	}
	d.does(exitOK, "answer", id, prompt, "approve")
	until(t, "the agent goes on", func() bool {
		all := d.json(exitOK, "conversations", "--status", "running").Conversations
		return len(all) == 1 && !all[0].Busy && len(all[0].Prompts) == 0
	})
	if got := d.json(exitError, "answer", id, prompt, "deny"); got.Code != "prompt_settled" {
		t.Errorf("answered again: got %q, want prompt_settled", got.Code)
	}

	d.says("work")
	until(t, "it is at work", func() bool { return d.json(exitOK, "conversations").Conversations[0].Busy })
	d.does(exitOK, "stop", id)
	until(t, "it is stopped", func() bool { return d.json(exitOK, "conversations").Conversations[0].Status == "sleeping" })

	d.says("hello")
	until(t, "the answer can be read", func() bool {
		for _, e := range d.json(exitOK, "transcript", id).Events {
			if e.Event == "text" && strings.HasPrefix(e.Data.Text, "Hello") {
				return true
			}
		}
		return false
	})
	said, _ := d.does(exitOK, "transcript", id)
	for _, want := range []string{"visitor     may you?", "agent       It is true", "turn        stopped", `agent       Hello \x1b[31mred.`} {
		if !strings.Contains(said+"\n", want+"\n") {
			t.Errorf("transcript: got\n%s\nwant the line %q", said, want)
		}
	}
	if page, _ := d.does(exitOK, "transcript", id, "--limit", "2"); !strings.Contains(page, "More events: --since 2") {
		t.Errorf("transcript --limit 2: got %q, want the next --since", page)
	}

	day := d.json(exitOK, "usage").Days[0]
	if day.Site != "default" || day.Turns != 3 || day.Sessions != 1 {
		t.Errorf("usage: got %+v, want three turns in one session", day)
	}
	if out, _ := d.does(exitOK, "usage"); !strings.HasPrefix(out, "DATE") || strings.Count(out, "\n") != 2 {
		t.Errorf("usage: got %q, want a table with today", out)
	}

	d.does(exitOK, "end", id)
	if all := d.json(exitOK, "conversations", "--status", "ended").Conversations; len(all) != 1 || all[0].ID != id {
		t.Errorf("ended: got %v, want the conversation", all)
	}
	if d.json(exitOK, "erase", id).Erasure == "" {
		t.Error("erase: got no erasure")
	}
	if all := d.json(exitOK, "conversations").Conversations; len(all) != 0 {
		t.Errorf("erased: got %v, want nothing", all)
	}
	for _, args := range [][]string{{"stop", id}, {"end", id}, {"erase", id}, {"transcript", id}, {"answer", id, prompt, "approve"}} {
		if got := d.json(exitError, args...); got.Code != "not_found" {
			t.Errorf("relay %q of an erased conversation: got %q, want not_found", args, got.Code)
		}
	}
	d.does(exitError, "conversations", "--status", "odd")
	for action, n := range map[string]int{"answer": 1, "stop": 1, "end": 1, "erase": 1} {
		if got := strings.Count(other.output(), `"msg":"audit","operator":"ann","action":"`+action+`"`); got != n {
			t.Errorf("audit lines of %s: got %d, want %d", action, got, n)
		}
	}
	if !strings.Contains(other.output(), `"msg":"audit","operator":"ann","action":"transcript"`) || strings.Contains(other.output(), "may you") {
		t.Error("the log has no line of the reading, or what was said")
	}
}

func TestOperate_UsedWrongly_ExitsWith2AndSaysHow(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"conversations": {"x"}, "stop": {}, "end": {"a", "b"}, "erase": {}, "answer": {"id", "prompt"}, "usage": {"x"}, "transcript": {},
	} {
		code, out, errs := execute(t, nil, append([]string{name}, args...)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, "number of arguments") || !strings.Contains(errs, "-admin URL") {
			t.Errorf("relay %s %q: got exit %d, %q and %q, want 2 and how it is used", name, args, code, out, errs)
		}
		code, out, errs = execute(t, nil, name, "--help")
		if code != exitOK || errs != "" || !strings.Contains(out, "relay "+name) || !strings.Contains(out, "-json") {
			t.Errorf("relay %s --help: got exit %d, %q and %q, want its flags", name, code, out, errs)
		}
	}
}
