package anyframetest_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestChat_Say_DeltasThenBlock(t *testing.T) {
	const said = "  Two  words,\nthen a\u2028third – <b>&</b>\n\n"
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say(said) }))
	id := running(t, cp)
	say(t, cp, id, "go")
	payloads := logged(cp, id)
	if got, want := kinds(t, payloads), "user_message"+strings.Repeat(" assistant+", 8)+" assistant result"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	var joined strings.Builder
	for _, p := range payloads[1:9] {
		joined.WriteString(text(t, p))
	}
	if joined.String() != said {
		t.Errorf("got deltas %q, want %q", joined.String(), said)
	}
	if got := text(t, payloads[9]); got != said {
		t.Errorf("got block %q, want %q", got, said)
	}
}

func TestChat_SayOptions_Apply(t *testing.T) {
	for _, c := range []struct {
		name, live, kept string
		opts             []anyframetest.Option
	}{
		{
			"numbered", "user_message assistant+ assistant+ assistant result",
			"1 user_message, 2 assistant+, 3 assistant+, 4 assistant, 5 result", nil,
		},
		{
			"without blocks", "user_message assistant+ assistant+ result",
			"1 user_message, 2 assistant+, 3 assistant+, 4 result",
			[]anyframetest.Option{anyframetest.WithRepeatedBlocks(false)},
		},
		{
			"unnumbered deltas", "user_message assistant+ assistant+ assistant result",
			"1 user_message, 2 assistant, 3 result",
			[]anyframetest.Option{anyframetest.WithUnnumberedDeltas()},
		},
		{
			"seqs that skip", "user_message assistant+ assistant+ assistant result",
			"1 user_message, 4 assistant+, 7 assistant+, 10 assistant, 13 result",
			[]anyframetest.Option{anyframetest.WithSeqStep(3)},
		},
		{
			"two words to a delta", "user_message assistant+ assistant result",
			"1 user_message, 2 assistant+, 3 assistant, 4 result",
			[]anyframetest.Option{anyframetest.WithWordsPerDelta(2)},
		},
		{
			"no echo", "assistant+ assistant+ assistant result",
			"2 assistant+, 3 assistant+, 4 assistant, 5 result",
			[]anyframetest.Option{anyframetest.WithoutUserEcho()},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cp := anyframetest.Start(t, append(c.opts, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say("one two") }))...)
			id := running(t, cp)
			live := listen(t, cp, id, "")
			say(t, cp, id, "go")
			cp.Sleep(id)

			var kept []string
			for _, e := range cp.Log(id) {
				kept = append(kept, fmt.Sprintf("%d %s", e.Seq, kind(t, string(e.Payload))))
			}
			if got := strings.Join(kept, ", "); got != c.kept {
				t.Errorf("got log %s, want %s", got, c.kept)
			}
			var came, replayed []string
			for _, f := range live.wantEnd() {
				came = append(came, f.data)
			}
			if got := kinds(t, came); got != c.live {
				t.Errorf("got stream %s, want %s", got, c.live)
			}
			for _, f := range listen(t, cp, id, "").wantEnd() {
				replayed = append(replayed, f.id+" "+kind(t, f.data))
			}
			if got := strings.Join(replayed, ", "); got != c.kept {
				t.Errorf("got replay %s, want %s", got, c.kept)
			}
		})
	}
}

func TestChat_ThinkToolFail_Logged(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Think("hm")
		c.Tool("Bash", map[string]any{"command": "ls"})
		c.Tool("Nothing", nil)
		c.Emit(json.RawMessage("{\"type\": \"weather\",\n \"sky\": \"\u2028\"}"))
		c.EmitUnnumbered(map[string]any{"type": "whisper"})
		c.Fail("broken")
	}))
	id := running(t, cp)
	say(t, cp, id, "go")
	payloads := logged(cp, id)
	if got, want := kinds(t, payloads), "user_message assistant assistant assistant weather _error"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	for i, want := range []string{
		`"content":[{"type":"thinking","thinking":"hm"}]`,
		`"name":"Bash","input":{"command":"ls"}}]`,
		`"name":"Nothing","input":{}}]`,
		"{\"type\":\"weather\",\"sky\":\"\u2028\"}",
		`"error":"broken"`,
	} {
		if got := payloads[i+1]; !strings.Contains(got, want) {
			t.Errorf("got %s, want it to contain %s", got, want)
		}
	}
}

func TestChat_FailWithoutMessage_Logged(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Fail("") }))
	id := running(t, cp)
	say(t, cp, id, "go")
	if got := logged(cp, id)[1]; got != `{"type":"_error"}` {
		t.Errorf("got %s, want a bare _error", got)
	}
}

func TestMessage_EveryForm_Accepted(t *testing.T) {
	var heard []string
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		line := fmt.Sprintf("%d %s", c.Turn(), c.Prompt())
		for _, a := range c.Attachments() {
			line += fmt.Sprintf(" [%s %s %s %q]", a.Kind, a.Name, a.MIME, a.Data)
		}
		heard = append(heard, line)
	}))
	id := running(t, cp)
	bodies := []string{
		`{"prompt":"one"}`,
		`{"text":"two"}`,
		`{"role":"user","content":"three"}`,
		`{"prompt":"","attachments":[{"kind":"image","name":"a.png","mime":"image/png","data_base64":"AAE="},` +
			`{"kind":"text","name":"b.txt","mime":"text/plain","text":"hé"}]}`,
	}
	for i, body := range bodies {
		answer := post(t, cp, id, "message", body, 200)
		if want := float64(2*i + 1); answer["ok"] != true || answer["seq"] != want {
			t.Errorf("got answer %v, want ok with seq %v", answer, want)
		}
		waitForIdleOrPrompt(t, cp, id)
	}
	want := []string{"1 one", "2 two", "3 three", `4  [image a.png image/png "\x00\x01"] [text b.txt text/plain "hé"]`}
	if !slices.Equal(heard, want) {
		t.Errorf("got %q, want %q", heard, want)
	}
	for i, got := range cp.Messages(id) {
		if string(got) != bodies[i] {
			t.Errorf("got message %s, want %s", got, bodies[i])
		}
	}
	if got, want := logged(cp, id)[6], `{"attachments":[{"name":"a.png","mime":"image/png"},{"name":"b.txt","mime":"text/plain"}],"text":"","type":"user_message"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMessage_Invalid_Refused(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	for _, c := range []struct{ name, body, loc string }{
		{"nothing", `{}`, "body prompt"},
		{"null", `{"prompt":null}`, "body prompt"},
		{"empty", `{"prompt":""}`, "body prompt"},
		{"a number", `{"prompt":1}`, "body prompt"},
		{"another role", `{"role":"assistant","content":"x"}`, "body prompt"},
		{"attachments that are no list", `{"prompt":"x","attachments":{}}`, "body attachments"},
		{"no name", `{"prompt":"x","attachments":[{"kind":"text","mime":"text/plain","text":""}]}`, "body attachments 0 name"},
		{"no mime", `{"prompt":"x","attachments":[{"kind":"text","name":"a","text":""}]}`, "body attachments 0 mime"},
		{"another kind", `{"prompt":"x","attachments":[{"kind":"pdf","name":"a","mime":"application/pdf"}]}`, "body attachments 0 kind"},
		{"a text that is an image", `{"prompt":"x","attachments":[{"kind":"text","name":"a","mime":"image/png","text":""}]}`, "body attachments 0 mime"},
		{"no text", `{"prompt":"x","attachments":[{"kind":"text","name":"a","mime":"text/css"}]}`, "body attachments 0 text"},
		{"no data", `{"prompt":"x","attachments":[{"kind":"image","name":"a","mime":"image/png"}]}`, "body attachments 0 data_base64"},
		{"bad base64", `{"prompt":"x","attachments":[{"kind":"image","name":"a","mime":"image/png","data_base64":"_w=="}]}`, "body attachments 0 data_base64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := locOf(t, post(t, cp, id, "message", c.body, 422)); got != c.loc {
				t.Errorf("got an issue with %q, want one with %q", got, c.loc)
			}
		})
	}
	if n := len(cp.Messages(id)) + len(cp.Log(id)); n != 0 {
		t.Errorf("got %d messages and events, want none", n)
	}
}

func TestMessage_DuringTurn_Queued(t *testing.T) {
	goOn := make(chan struct{})
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		<-goOn
		c.Emit(map[string]any{"type": "heard", "prompt": c.Prompt()})
	}))
	id := running(t, cp)
	var want []string
	for i := range 5 {
		prompt := fmt.Sprintf("message %d", i)
		post(t, cp, id, "message", map[string]any{"prompt": prompt}, 200)
		want = append(want, prompt)
	}
	if got := len(cp.Log(id)); got != 5 {
		t.Errorf("got %d events while the first turn runs, want the 5 messages", got)
	}
	close(goOn)
	waitForIdleOrPrompt(t, cp, id)
	var got []string
	for _, p := range logged(cp, id) {
		var heard struct{ Type, Prompt string }
		if err := json.Unmarshal([]byte(p), &heard); err != nil {
			t.Fatal(err)
		}
		if heard.Type == "heard" {
			got = append(got, heard.Prompt)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// promptOf returns the payload of the last event of a session.
func promptOf(t *testing.T, cp *anyframetest.Server, id string) map[string]any {
	t.Helper()
	cp.WaitFor(t, func() bool {
		info, _ := cp.Session(id)
		return info.Waiting
	})
	events := cp.Log(id)
	var p map[string]any
	if err := json.Unmarshal(events[len(events)-1].Payload, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPrompt_Question_WaitsForAnswer(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Emit(map[string]any{"type": "heard", "answer": c.Ask("Which?", "red", "green")})
		c.Ask("And why?")
	}))
	id := running(t, cp)
	post(t, cp, id, "message", map[string]any{"prompt": "go"}, 200)
	q := promptOf(t, cp, id)
	if q["type"] != "ask_user_question" || q["question"] != "Which?" || fmt.Sprint(q["options"]) != "[red green]" || q["request_id"] == nil {
		t.Errorf("got %v, want the question with its options and ids", q)
	}
	for _, c := range []struct {
		body   map[string]any
		status int
	}{
		{map[string]any{}, 422},
		{map[string]any{"answer": "red"}, 422},
		{map[string]any{"prompt_id": q["prompt_id"]}, 422},
		{map[string]any{"prompt_id": q["prompt_id"], "decision": "approve"}, 422},
		{map[string]any{"prompt_id": "prm_unknown", "answer": "red"}, 404},
		{map[string]any{"prompt_id": q["prompt_id"], "answer": "blue"}, 200},
		{map[string]any{"prompt_id": q["prompt_id"], "answer": "red"}, 409},
	} {
		post(t, cp, id, "respond", c.body, c.status)
	}
	why := promptOf(t, cp, id)
	if options, is := why["options"].([]any); !is || len(options) != 0 {
		t.Errorf("got options %v, want an empty list", why["options"])
	}
	if all := strings.Join(logged(cp, id), " "); !strings.Contains(all, `"answer":"blue"`) {
		t.Errorf("got %s, want the answer blue in it", all)
	}
	post(t, cp, id, "terminate", nil, 202)
	post(t, cp, id, "resume", nil, 202)
	post(t, cp, id, "respond", map[string]any{"prompt_id": why["prompt_id"], "answer": "late"}, 409)
}

func TestPrompt_Permission_EveryFormDecides(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Emit(map[string]any{"type": "heard", "approved": c.Permit("Bash", map[string]any{"command": "ls"})})
	}))
	id := running(t, cp)
	for _, c := range []struct {
		name   string
		body   func(p map[string]any) map[string]any
		status int
		want   bool
	}{
		{"both forms, yes", func(p map[string]any) map[string]any {
			return map[string]any{"prompt_id": p["prompt_id"], "tool_use_id": p["tool_use_id"], "decision": "approve", "approve": true}
		}, 200, true},
		{"both forms, no", func(p map[string]any) map[string]any {
			return map[string]any{"prompt_id": p["prompt_id"], "tool_use_id": p["tool_use_id"], "decision": "deny", "approve": false}
		}, 200, false},
		{"by the tool use", func(p map[string]any) map[string]any {
			return map[string]any{"tool_use_id": p["tool_use_id"], "decision": "approve"}
		}, 200, true},
		{"by the prompt", func(p map[string]any) map[string]any {
			return map[string]any{"prompt_id": p["prompt_id"], "approve": false}
		}, 200, false},
		{"by the request", func(p map[string]any) map[string]any {
			return map[string]any{"prompt_id": p["request_id"], "approve": true}
		}, 200, true},
		{"two that disagree", func(p map[string]any) map[string]any {
			return map[string]any{"prompt_id": p["prompt_id"], "decision": "deny", "approve": true}
		}, 422, false},
		{"neither yes nor no", func(p map[string]any) map[string]any {
			return map[string]any{"prompt_id": p["prompt_id"], "decision": "maybe"}
		}, 422, false},
		{"nothing", func(p map[string]any) map[string]any {
			return map[string]any{"prompt_id": p["prompt_id"], "answer": "yes"}
		}, 422, false},
		{"ids of two prompts", func(p map[string]any) map[string]any {
			return map[string]any{"prompt_id": p["prompt_id"], "tool_use_id": "toolu_other", "approve": true}
		}, 404, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			post(t, cp, id, "message", map[string]any{"prompt": "go"}, 200)
			p := promptOf(t, cp, id)
			if p["type"] != "permission_request" || p["tool_name"] != "Bash" || fmt.Sprint(p["tool_input"]) != "map[command:ls]" || fmt.Sprint(p["input"]) != "map[command:ls]" {
				t.Errorf("got %v, want the tool and its input", p)
			}
			post(t, cp, id, "respond", c.body(p), c.status)
			if c.status != 200 {
				cp.Answer(id, "deny")
			}
			waitForIdleOrPrompt(t, cp, id)
			payloads := logged(cp, id)
			if got, want := payloads[len(payloads)-2], fmt.Sprintf(`{"approved":%t,"type":"heard"}`, c.want); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestScript_SandboxStops_Ends(t *testing.T) {
	for _, c := range []struct {
		name string
		hang func(c *anyframetest.Chat)
	}{
		{"in a question", func(c *anyframetest.Chat) { c.Ask("?") }},
		{"in a permission", func(c *anyframetest.Chat) { c.Permit("Bash", nil) }},
		{"in a pause", func(c *anyframetest.Chat) { c.Pause(1 << 62) }},
		{"in its own wait", func(c *anyframetest.Chat) { <-c.Context().Done() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun, left := make(chan struct{}, 2), make(chan string, 2)
			cp := anyframetest.Start(t, anyframetest.WithAgent(1, anyframetest.Cases{{"hang", func(chat *anyframetest.Chat) {
				defer func() { left <- chat.Session() }()
				begun <- struct{}{}
				c.hang(chat)
				chat.Say("never said")
			}}}.Or(func(c *anyframetest.Chat) { c.Say("still there") })))
			id := running(t, cp)
			post(t, cp, id, "message", map[string]any{"prompt": "hang"}, 200)
			post(t, cp, id, "message", map[string]any{"prompt": "never heard"}, 200)
			<-begun
			cp.Sleep(id)
			if got := <-left; got != id {
				t.Errorf("got session %s, want %s", got, id)
			}
			cp.Wake(id)
			say(t, cp, id, "hello")
			all := strings.Join(logged(cp, id), "\n")
			if strings.Contains(all, "never said") || strings.Count(all, `"type":"result"`) != 1 || !strings.Contains(all, "still there") {
				t.Errorf("got log %s, want only the turn after the sleep to have an end", all)
			}
		})
	}
}

func TestScript_Goexit_NextTurnRuns(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		if c.Prompt() == "leave" {
			runtime.Goexit() // as a test's Fatal does
		}
	}))
	id := running(t, cp)
	post(t, cp, id, "message", map[string]any{"prompt": "leave"}, 200)
	say(t, cp, id, "stay")
	if got, want := kinds(t, logged(cp, id)), "user_message user_message result"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestScript_Cases_MatchWordBeginnings(t *testing.T) {
	mark := func(word string) anyframetest.Script {
		return func(c *anyframetest.Chat) { c.Emit(map[string]any{"type": word}) }
	}
	cp := anyframetest.Start(t, anyframetest.WithAgent(1,
		anyframetest.Cases{{"table", mark("table")}, {"Code", mark("code")}}.Or(mark("fallback"))))
	id := running(t, cp)
	for _, c := range []struct{ prompt, want string }{
		{"TABLES, please", "table"},
		{"some code", "code"},
		{"code and a table", "table"},
		{"decode this", "fallback"},
		{"x", "fallback"},
		{"(code)", "code"},
	} {
		say(t, cp, id, c.prompt)
		payloads := logged(cp, id)
		if got := kind(t, payloads[len(payloads)-2]); got != c.want {
			t.Errorf("%q: got %s, want %s", c.prompt, got, c.want)
		}
	}
}
