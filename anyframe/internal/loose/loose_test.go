package loose

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"testing"
)

type inner struct {
	ID int64 `json:"id"`
}

type text string

// strict decodes itself, and accepts only one value.
type strict struct{ ok bool }

func (s *strict) UnmarshalJSON(data []byte) error {
	if string(data) != `"yes"` {
		return errors.New("no")
	}
	s.ok = true
	return nil
}

type all struct {
	inner
	S    text              `json:"s"`
	I    int               `json:"i"`
	N    int64             `json:"agent_id"`
	B    bool              `json:"b"`
	PI   *int              `json:"pi"`
	PB   *bool             `json:"pb"`
	Raw  json.RawMessage   `json:"raw"`
	L    []int             `json:"l"`
	T    []string          `json:"t"`
	M    map[string]string `json:"m"`
	O    *inner            `json:"o"`
	R    []inner           `json:"r"`
	Own  strict            `json:"own"`
	Any  []any             `json:"any"`
	Skip int               `json:"-"`
}

func TestMember_OtherType_Converted(t *testing.T) {
	for in, want := range map[string]all{
		`{"s":"a"}`:                             {S: "a"},
		`{"s":5}`:                               {S: "5"},
		`{"s":true}`:                            {},
		`{"s":{}}`:                              {},
		`{"i":7}`:                               {I: 7},
		`{"i":7.0}`:                             {I: 7},
		`{"i":"7"}`:                             {I: 7},
		`{"i":" 7.0 "}`:                         {I: 7},
		`{"i":7e2}`:                             {I: 700},
		`{"i":300.5}`:                           {I: 300},
		`{"i":-300.5}`:                          {I: -300},
		`{"i":true}`:                            {},
		`{"i":"seven"}`:                         {},
		`{"i":""}`:                              {},
		`{"i":[7]}`:                             {},
		`{"i":"0x10"}`:                          {},
		`{"i":"1_000"}`:                         {},
		`{"i":"inf"}`:                           {},
		`{"i":1e300}`:                           {},
		`{"i":9223372036854775808}`:             {},
		`{"agent_id":9223372036854775807}`:      {N: 9223372036854775807},
		`{"agent_id":12.0}`:                     {N: 12},
		`{"agent_id":12.5}`:                     {}, // not an id, and 12 is another's
		`{"id":"3"}`:                            {inner: inner{3}},
		`{"b":true}`:                            {B: true},
		`{"b":1}`:                               {B: true},
		`{"b":0}`:                               {},
		`{"b":"true"}`:                          {B: true},
		`{"b":"True"}`:                          {B: true},
		`{"b":"0"}`:                             {},
		`{"b":"yes"}`:                           {},
		`{"pi":"0"}`:                            {PI: new(0)},
		`{"pi":null}`:                           {},
		`{"pi":"x"}`:                            {},
		`{"pb":0}`:                              {PB: new(false)},
		`{"pb":"x"}`:                            {},
		`{"raw":{"a" :1}}`:                      {Raw: json.RawMessage(`{"a" :1}`)},
		`{"raw":null}`:                          {},
		`{"l":[1,"2",3.0,"x",null,{},4.5]}`:     {L: []int{1, 2, 3}},
		`{"l":[]}`:                              {L: []int{}},
		`{"l":1}`:                               {},
		`{"t":["a",1,null,{}]}`:                 {T: []string{"a", "1"}},
		`{"m":{"a":"b","c":1,"d":null,"e":{}}}`: {M: map[string]string{"a": "b", "c": "1", "d": "", "e": ""}},
		`{"m":["a"]}`:                           {},
		`{"o":{"id":1}}`:                        {O: &inner{1}},
		`{"o":[]}`:                              {},
		`{"r":[{"id":1},5,null,[],{"id":2}]}`:   {R: []inner{{1}, {2}}},
		`{"own":"yes"}`:                         {Own: strict{true}},
		`{"own":"no"}`:                          {},
		`{"any":["a",1]}`:                       {Any: []any{"a", 1.0}},
		`{"any":"a"}`:                           {Any: []any{"a"}},
		`{"-":1,"Skip":1,"S":"x","":1,"other":{}}`: {},
	} {
		var got all
		if err := Object([]byte(in), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestMember_NotConvertible_ValueKept(t *testing.T) {
	got := all{B: true, I: 5, S: "a"}
	if err := Object([]byte(`{"b":"x","i":{},"s":[]}`), &got); err != nil || !got.B || got.I != 5 || got.S != "a" {
		t.Errorf("got %+v, %v, want it as it was", got, err)
	}
}

func TestObject_OtherJSON_Refused(t *testing.T) {
	for _, in := range []string{`null`, `[]`, `5`, `"a"`, ``, `{`, `{"a":}`, `{} {}`} {
		if err := Object([]byte(in), new(all)); err == nil {
			t.Errorf("%q: got no error, want one", in)
		}
	}
}

// FuzzMembers checks that an object is split as encoding/json does it.
func FuzzMembers(f *testing.F) {
	for _, in := range []string{
		`{}`, ` { "a" : 1 , "b":{"c":[1,{"d":"}"}]},"e":"\\\"x","f":-1.5e3} `, `{"\u0061":true,"a\\b":null,"":[]}`, `{"a":1,"a":2}`, `{"a":"\\"}`, `{"a":[[],{}],"b":false}`, "{\"\xcc\":1}",
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var want map[string]json.RawMessage
		if json.Unmarshal(in, &want) != nil || want == nil {
			if Object(in, new(all)) == nil {
				t.Fatalf("%q: got no error, want one", in)
			}
			return
		}
		got := maps.Collect(members(bytes.TrimSpace(in)))
		if len(got) != len(want) {
			t.Fatalf("%q: got %q, want %q", in, got, want)
		}
		for name, value := range want {
			if string(got[name]) != string(value) {
				t.Fatalf("%q: got %q for %q, want %q", in, got[name], name, value)
			}
		}
		_ = Object(in, new(all))
	})
}
