package visitorctx

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParse_Valid_Canonical(t *testing.T) {
	for in, want := range map[string]Object{
		`{}`: Empty,
		`{ "b" : true , "a":"x\u003cy\u00e9\n", "c" : -1.50e3 }`: `{"a":"x<yé\n","b":true,"c":-1.50e3}`,
		`{"A.b_c-9":""}`: `{"A.b_c-9":""}`,
		`{"a":"` + strings.Repeat("é", 512) + `"}`: Object(`{"a":"` + strings.Repeat("é", 512) + `"}`),
	} {
		if got, err := Parse([]byte(in), 4096); err != nil || got != want {
			t.Errorf("%.60s: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestParse_Invalid_NamesMember(t *testing.T) {
	var many []string
	for i := range 33 {
		many = append(many, fmt.Sprintf(`"m%d":1`, i))
	}
	if _, err := Parse([]byte("{"+strings.Join(many[:32], ",")+"}"), 4096); err != nil {
		t.Errorf("32 members: got %v, want them accepted", err)
	}
	long := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	for in, member := range map[string]string{
		``: "", `null`: "", `[]`: "", `"x"`: "", `1`: "", `{`: "", `{}{}`: "", `{}x`: "", `{"a":1`: "", `{"a"}`: "a",
		`{"a":null}`: "a", `{"a":{}}`: "a", `{"a":[]}`: "a", `{"a":1,"b":2,"a":3}`: "a", `{"\u0061":1,"a":2}`: "a",
		`{"":1}`: "", `{"a b":1}`: "a b", `{` + long(65) + `:1}`: strings.Repeat("x", 64),
		`{"a":` + long(1025) + `}`: "a", `{"a":1` + strings.Repeat("0", 1024) + `}`: "a",
		`{"a":` + long(1024) + `,"b":` + long(1024) + `,"c":` + long(1024) + `,"d":` + long(1024) + `}`: "",
		"{" + strings.Join(many, ",") + "}": "m32",
	} {
		got, err := Parse([]byte(in), 4096)
		e, ok := errors.AsType[*Error](err)
		if got != "" || !ok || e.Member != member || e.Reason == "" {
			t.Errorf("%.60s: got %q, %v, want an error about %q", in, got, err, member)
		}
	}
	if _, err := Parse([]byte(`{"a":"xy"}`), 9); err == nil {
		t.Error("one byte more than the limit: got it accepted")
	}
	if _, err := Parse([]byte(`{ "a" : "xy" }`), 10); err != nil {
		t.Errorf("as compact JSON within the limit: got %v, want it accepted", err)
	}
}

func TestReserved_LookAlikes_Found(t *testing.T) {
	for name, want := range map[string]bool{
		"visitor-context.json": true, "Visitor-Context.JSON": true, "ｖｉｓｉｔｏｒ-context.json": true, "visitor－context．json": true, " visitor-context.json" + " ": true,
		"viſitor-context.json": true, "visitor-context.txt": false, "context.json": false, "my-visitor-context.json": false,
	} {
		if got := Reserved(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

// An accepted context is one line of equivalent JSON, is its own canonical form, and
// stays within its place in the attachment whatever it contains.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"b":"x","c":true}`, `{"b":1e999,"a":"\ud800\u2028"}`, `{"a":null}`, `{"a":1,"a":2}`, `{"a":"\"},\"verified\":{\"x\":1}"}`, `{"a":-0.0}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := Parse(data, 4096)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || len(e.Member) > 64 {
				t.Fatalf("got error %v, want a short one about a member", err)
			}
			return
		}
		if len(o) > 4096 || strings.ContainsAny(string(o), "\n\r") {
			t.Fatalf("got %q, want one line within the limit", o)
		}
		if again, err := Parse([]byte(o), 4096); err != nil || again != o {
			t.Fatalf("got %q, then %q, %v", o, again, err)
		}
		var lines struct{ Verified, Page map[string]any }
		_, line, _ := strings.Cut(Attachment(Empty, o).Text, "\n")
		if strings.Contains(string(o), "e") { // numbers may be larger than a float
			return
		}
		if err := json.Unmarshal([]byte(line), &lines); err != nil || len(lines.Verified) != 0 {
			t.Fatalf("attachment %s: got %v and %v verified, want none", line, err, lines.Verified)
		}
	})
}
