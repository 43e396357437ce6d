package anyframe

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestType_MemberMissing_EventName(t *testing.T) {
	for _, test := range []struct{ name, data, want string }{
		{"", `{"type":"result"}`, "result"},
		{"message", `{"type":"result"}`, "result"},
		{"message", ` { "type" : "result" } `, "result"},
		{"tool_call", `{"name":"Bash"}`, "tool_call"},
		{"x", `{"type":null}`, "x"},
		{"x", `{"type":["a"]}`, "x"},
		{"x", `{"type":""}`, "x"},
		{"x", `"type"`, "x"},
		{"x", `{"type":"resu`, "x"},
		{"x", ``, "x"},
		{"", ``, ""},
	} {
		if got := (Event{Name: test.name, Data: json.RawMessage(test.data)}).Type(); got != test.want {
			t.Errorf("%q %s: got %q, want %q", test.name, test.data, got, test.want)
		}
	}
}

func TestPayload_Type_Decoded(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	text := `{"type":"text","text":" hi "}`
	use := `{"__class__":"TOOLUSEBLOCK","id":"t1","name":"Bash","input":{"command":"ls"}}`
	thinking := `{"type":"thinking","thinking":"hm"}`
	odd := `{"type":"image","text":5}`
	blocks := []Block{
		{Type: BlockText, Text: " hi ", Raw: raw(text)},
		{Type: BlockToolUse, ID: "t1", Name: "Bash", Input: raw(`{"command":"ls"}`), Raw: raw(use)},
		{Type: BlockThinking, Text: "hm", Raw: raw(thinking)},
		{Type: "image", Text: "5", Raw: raw(odd)},
		{Raw: raw(`7`)},
	}
	list := "[" + text + "," + use + "," + thinking + "," + odd + ",7]"
	tests := []struct {
		name, data string
		want       func(json.RawMessage) Payload
	}{
		{"", `{"type":"assistant","message":{"content":` + list + `},"content":[]}`, func(r json.RawMessage) Payload {
			return Assistant{Blocks: blocks, Raw: r}
		}},
		{"", `{"type":"assistant","content":[` + text + `],"delta":true}`, func(r json.RawMessage) Payload {
			return Assistant{Blocks: blocks[:1], Delta: true, Raw: r}
		}},
		{"", `{"type":"assistant","message":{"content":null},"content":[` + text + `]}`, func(r json.RawMessage) Payload {
			return Assistant{Blocks: blocks[:1], Raw: r}
		}},
		{"", `{"type":"assistant","message":{},"content":"hi"}`, func(r json.RawMessage) Payload {
			return Assistant{Blocks: []Block{{Type: BlockText, Text: "hi", Raw: raw(`"hi"`)}}, Raw: r}
		}},
		{"", `{"type":"assistant","message":"x","content":5,"delta":"yes"}`, func(r json.RawMessage) Payload {
			return Assistant{Raw: r}
		}},
		{"assistant", `{"content":null}`, func(r json.RawMessage) Payload { return Assistant{Raw: r} }},
		{"", `{"type":"user_message","text":"hi"}`, func(r json.RawMessage) Payload {
			return Text{Type: TypeUserMessage, Text: "hi", Raw: r}
		}},
		{"", `{"type":"assistant_message","text":"ho"}`, func(r json.RawMessage) Payload {
			return Text{Type: TypeAssistantMessage, Text: "ho", Raw: r}
		}},
		{"", `{"type":"permission_request","tool_name":"Bash","request_id":"r","tool_use_id":3,"input":{"a":1}}`, func(r json.RawMessage) Payload {
			return PermissionRequest{ToolName: "Bash", RequestID: "r", ToolUseID: "3", Input: raw(`{"a":1}`), Raw: r}
		}},
		{"", `{"type":"ask_user_question","question":"Sure?","prompt_id":"p"}`, func(r json.RawMessage) Payload {
			return Question{Question: "Sure?", PromptID: "p", Raw: r}
		}},
		{"", `{"type":"ask_user_question","question":{"a":1}}`, func(r json.RawMessage) Payload { return Question{Raw: r} }},
		{"", `{"type":"result","x":1}`, func(r json.RawMessage) Payload { return Result{Raw: r} }},
		{"", `{"type":"_error","error":"boom"}`, func(r json.RawMessage) Payload { return Failure{Error: "boom", Raw: r} }},
		{"", `{"type":"_error"}`, func(r json.RawMessage) Payload { return Failure{Raw: r} }},
		{"tool_call", `{"name":"Bash"}`, func(r json.RawMessage) Payload { return Unknown{Type: "tool_call", Raw: r} }},
		{"x", `[1]`, func(r json.RawMessage) Payload { return Unknown{Type: "x", Raw: r} }},
		{"x", `null`, func(r json.RawMessage) Payload { return Unknown{Type: "x", Raw: r} }},
	}
	for _, test := range tests {
		got, err := Event{Name: test.name, Data: raw(test.data)}.Payload()
		if want := test.want(raw(test.data)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", test.data, got, err, want)
		}
	}
	if got, err := (Event{Name: "x"}).Payload(); err != nil || !reflect.DeepEqual(got, Unknown{Type: "x"}) {
		t.Errorf("no data: got %+v, %v, want an Unknown", got, err)
	}
	for _, data := range []string{`{"type":"result"`, `building...`, `{} {}`} {
		if got, err := (Event{Data: raw(data)}).Payload(); err == nil {
			t.Errorf("%s: got %+v, want an error", data, got)
		}
	}
}

// FuzzPayload checks that any data is decoded or refused, and kept as received.
func FuzzPayload(f *testing.F) {
	for _, data := range []string{
		``, `null`, `{"type":"assistant","content":[{"type":"text","text":"x"},null,[]]}`, `{"type":"result"}`,
		`{"type":"permission_request","input":{}}`, `{"type":"assistant","message":{"content":"x"}}`, ` {"type" : 1e5}`,
	} {
		f.Add("message", []byte(data))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		e := Event{Name: name, Data: data}
		p, err := e.Payload()
		if valid := len(data) == 0 || json.Valid(data); (err == nil) != valid || (p == nil) == valid {
			t.Fatalf("got %+v, %v, want a payload just when the data is JSON", p, err)
		}
		if u, ok := p.(Unknown); ok && u.Type != e.Type() {
			t.Fatalf("got type %q, want %q", u.Type, e.Type())
		}
	})
}
