package anyframetest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// shows maps each trigger of the demonstration to what identifies it in the log.
var shows = map[string]string{
	"tool":       `"type":"tool_use"`,
	"code":       "```html",
	"table":      `| --- | --- | ---: |`,
	"question":   `"type":"ask_user_question"`,
	"permission": `"type":"permission_request"`,
	"fail":       `"type":"_error"`,
	"long":       `## Where to go from here`,
	"context":    "RelayChat.setContext",
	"think":      `"type":"thinking"`,
	"count":      `You can stop me at any time`,
	"rate":       `RELAY_FEEDBACK=on`,
	"history":    `here and at AnyFrame`,
	"consent":    `RELAY_CONSENT=`,
}

func TestDemo_EveryTrigger_ShowsWhatItPromises(t *testing.T) {
	triggers := anyframetest.DemoTriggers()
	if len(triggers) != len(shows) {
		t.Errorf("got %d triggers, want %d", len(triggers), len(shows))
	}
	for _, trigger := range triggers {
		t.Run(trigger.Word, func(t *testing.T) {
			want, known := shows[trigger.Word]
			if !known || trigger.Shows == "" {
				t.Fatalf("got trigger %+v, want one with a word that is known and a description", trigger)
			}
			cp := anyframetest.Start(t, anyframetest.WithAgent(1, anyframetest.Demo()))
			id := running(t, cp)
			post(t, cp, id, "message", map[string]any{"prompt": "Please show me a " + strings.ToUpper(trigger.Word) + "!"}, 200)
			for {
				waitForIdleOrPrompt(t, cp, id)
				if !cp.Answer(id, "approve") {
					break
				}
			}
			payloads := logged(cp, id)
			for word, mark := range shows {
				found := slices.ContainsFunc(payloads, func(p string) bool { return strings.Contains(p, mark) })
				if word == trigger.Word && !found {
					t.Errorf("got %d events without %s, want one with it", len(payloads), want)
				}
				if word != trigger.Word && found && trigger.Word != "long" && trigger.Word != "permission" {
					t.Errorf("got an event with %s, want none", mark)
				}
			}
			ends := `"type":"result"`
			if trigger.Word == "fail" {
				ends = `"type":"_error"`
			}
			if last := payloads[len(payloads)-1]; !strings.Contains(last, ends) {
				t.Errorf("got last event %s, want one with %s", last, ends)
			}
		})
	}
}

func TestDemo_UnknownWord_NamesTriggers(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, anyframetest.Demo()))
	id := running(t, cp)
	post(t, cp, id, "message", map[string]any{"prompt": "Guten Tag"}, 200)
	waitForIdleOrPrompt(t, cp, id)
	payloads := logged(cp, id)
	said := payloads[len(payloads)-2]
	if !strings.Contains(said, "Guten Tag") {
		t.Errorf("got %s, want it to repeat what was said", said)
	}
	for _, trigger := range anyframetest.DemoTriggers() {
		if !strings.Contains(said, "**"+trigger.Word+"** – "+trigger.Shows) {
			t.Errorf("got %s, want it to name %q", said, trigger.Word)
		}
	}
}

func TestDemo_Message_Quoted(t *testing.T) {
	const file = `{"kind":"text","name":"notes.txt","mime":"text/plain","text":"x"}`
	for _, c := range []struct{ body, want string }{
		{`{"prompt":"","attachments":[` + file + `]}`, "You said nothing and sent notes.txt. Welcome!"},
		{`{"prompt":"two\nlines","attachments":[` + file + `,` + file + `]}`, "You said “two lines” and sent 2 files. Welcome!"},
		{`{"prompt":"` + strings.Repeat("é", 121) + `"}`, "You said “" + strings.Repeat("é", 120) + "…”. Welcome!"},
	} {
		cp := anyframetest.Start(t, anyframetest.WithAgent(1, anyframetest.Demo()))
		id := running(t, cp)
		post(t, cp, id, "message", c.body, 200)
		waitForIdleOrPrompt(t, cp, id)
		payloads := logged(cp, id)
		if got := text(t, payloads[len(payloads)-2]); !strings.HasPrefix(got, c.want) {
			t.Errorf("got %q, want it to begin with %q", got, c.want)
		}
	}
}

func TestDemo_PermissionDenied_Accepted(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, anyframetest.Demo()))
	id := running(t, cp)
	post(t, cp, id, "message", map[string]any{"prompt": "permission"}, 200)
	waitForIdleOrPrompt(t, cp, id)
	if !cp.Answer(id, "deny") {
		t.Fatal("got no prompt, want one")
	}
	waitForIdleOrPrompt(t, cp, id)
	if all := strings.Join(logged(cp, id), "\n"); !strings.Contains(all, "will not change anything") || strings.Contains(all, `"tool_use"`) {
		t.Errorf("got %s, want no tool use after the refusal", all)
	}
}

// waitForIdleOrPrompt waits until the session's turn is over or waits for an
// answer.
func waitForIdleOrPrompt(t *testing.T, cp *anyframetest.Server, id string) {
	t.Helper()
	cp.WaitFor(t, func() bool {
		info, _ := cp.Session(id)
		return !info.Busy || info.Waiting
	})
}

func logged(cp *anyframetest.Server, id string) []string {
	var payloads []string
	for _, e := range cp.Log(id) {
		payloads = append(payloads, string(e.Payload))
	}
	return payloads
}
