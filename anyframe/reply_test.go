package anyframe

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func said(text string, delta bool) Event {
	content, err := json.Marshal([]map[string]string{{"type": "text", "text": text}})
	if err != nil {
		panic(err)
	}
	return Event{Data: fmt.Appendf(nil, `{"type":"assistant","message":{"content":%s},"delta":%v}`, content, delta)}
}

func fragment(text string) Event { return said(text, true) }
func whole(text string) Event    { return said(text, false) }
func raw(data string) Event      { return Event{Data: json.RawMessage(data)} }

var (
	toolUse = raw(`{"type":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"tool_use","name":"Bash"}]}`)
	result  = raw(`{"type":"result"}`)
)

func TestReply_Fragments_JoinedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		events []Event
		want   string
		added  string // what Add returned, if not the same
	}{
		"nothing":                       {nil, "", ""},
		"fragments":                     {[]Event{fragment(" Hel"), fragment("lo "), fragment("\n")}, " Hello \n", ""},
		"whole":                         {[]Event{whole("Hello.")}, "Hello.", ""},
		"both":                          {[]Event{fragment("Hel"), fragment("lo."), whole("Hello."), result}, "Hello.", ""},
		"both, trimmed":                 {[]Event{fragment("Hello.\n"), whole("Hello.")}, "Hello.\n", ""},
		"two":                           {[]Event{whole("One."), whole("Two.")}, "One.\n\nTwo.", ""},
		"the same twice":                {[]Event{whole("Yes."), whole("Yes.")}, "Yes.\n\nYes.", ""},
		"two, both ways":                {[]Event{fragment("One."), whole("One."), fragment("Tw"), fragment("o."), whole("Two.")}, "One.\n\nTwo.", ""},
		"fragments around a tool":       {[]Event{fragment("One."), toolUse, fragment("Two.")}, "One.\n\nTwo.", ""},
		"wholes after all fragments":    {[]Event{fragment("One."), toolUse, fragment("Two."), whole("One."), whole("Two.")}, "One.\n\nTwo.", ""},
		"wholes of one run":             {[]Event{fragment("One."), fragment("Two."), whole("One."), whole("Two.")}, "One.Two.", ""},
		"a late whole":                  {[]Event{fragment("One."), toolUse, fragment("Tw"), whole("One."), fragment("o.")}, "One.\n\nTwo.", ""},
		"the end lost":                  {[]Event{fragment("Hel"), whole("Hello.")}, "Hello.", ""},
		"the beginning lost":            {[]Event{fragment("lo."), whole("Hello.")}, "Hello.", "lo."},
		"the middle lost":               {[]Event{fragment("He"), fragment("o."), whole("Hello.")}, "Hello.", "Heo."},
		"the middle lost, then another": {[]Event{fragment("He"), fragment("o."), whole("Hello."), fragment("Bye")}, "Hello.\n\nBye", "Heo.\n\nBye"},
		"another message":               {[]Event{fragment("xyz"), whole("Hello.")}, "xyz\n\nHello.", ""},
		"the next turn":                 {[]Event{fragment("Yes."), result, whole("Yes.")}, "Yes.\n\nYes.", ""},
		"thinking and tools are hidden": {[]Event{toolUse, whole("Hi."), toolUse}, "Hi.", ""},
		"what does not matter between":  {[]Event{fragment("He"), raw(`{"type":"status"}`), raw(`{"type`), fragment(""), fragment("y")}, "Hey", ""},
		"a transcript's messages":       {[]Event{raw(`{"type":"user_message","text":"q"}`), raw(`{"type":"assistant_message","text":"a"}`)}, "a", ""},
		"several blocks":                {[]Event{raw(`{"type":"assistant","content":[{"type":"text","text":"a"},{"type":"tool_use","text":"x"},{"type":"text","text":"b"}]}`)}, "ab", ""},
	} {
		var r Reply
		var added strings.Builder
		for _, e := range test.events {
			added.WriteString(r.Add(e))
		}
		if test.added == "" {
			test.added = test.want
		}
		if r.String() != test.want || added.String() != test.added {
			t.Errorf("%s: got %q, adding %q, want %q, adding %q", name, r.String(), added.String(), test.want, test.added)
		}
	}
}

func TestReply_RepeatedEvent_CountedOnce(t *testing.T) {
	var r Reply
	for _, seq := range []int64{3, 4, 3, 4, 5, 5} {
		e := fragment(fmt.Sprint(seq))
		e.Seq = seq
		r.Add(e)
	}
	if r.String() != "345" {
		t.Errorf("got %q, want 345", r.String())
	}
}

// FuzzReply checks that a text is the same however it is split, and whether or not
// the complete text follows.
func FuzzReply(f *testing.F) {
	f.Add("Hello there, wörld.\n", uint64(0b1010010), true)
	f.Add("", uint64(0), false)
	f.Add("aaaa", uint64(0xffffffffffffffff), true)
	f.Add("\x00\xff", uint64(1), true)
	f.Fuzz(func(t *testing.T, text string, cuts uint64, repeat bool) {
		text = strings.ToValidUTF8(text, "?")
		var r Reply
		var added strings.Builder
		start := 0
		runes := []rune(text)
		for i := range runes {
			if cuts>>(i%64)&1 == 1 {
				added.WriteString(r.Add(fragment(string(runes[start : i+1]))))
				start = i + 1
			}
		}
		if start < len(runes) {
			added.WriteString(r.Add(fragment(string(runes[start:]))))
		}
		if repeat {
			added.WriteString(r.Add(whole(text)))
		}
		if r.String() != text || added.String() != text {
			t.Fatalf("got %q, adding %q, want %q", r.String(), added.String(), text)
		}
	})
}
