package anyframe

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTime_ServerFormats_Parsed(t *testing.T) {
	want := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]time.Time{
		`"2025-01-02T03:04:05Z"`:              want,
		`"2025-01-02T03:04:05+00:00"`:         want,
		`"2025-01-02T03:04:05"`:               want,
		`"2025-01-02 03:04:05"`:               want,
		`"2025-01-02 03:04:05 +00:00"`:        want,
		`"2025-01-02t03:04:05z"`:              want,
		`"2025-01-02T05:04:05+0200"`:          want,
		`"2025-01-02T05:04:05+02"`:            want,
		`"2025-01-02T03:04:05.5"`:             want.Add(time.Second / 2),
		`"2025-01-02T03:04:05.123456789012Z"`: want.Add(123456789),
		`"2025-01-02T03:04:05.000001+00:00"`:  want.Add(time.Microsecond),
		`"2025-01-02"`:                        time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC),
		`1735787045`:                          want,
		`1735787045.25`:                       want.Add(time.Second / 4),
		`null`:                                {},
		`""`:                                  {},
		`"20250102T030405Z"`:                  want,
		`"20250102T030405"`:                   want,
		`"20250102T050405+0200"`:              want,
		`"20250102T050405+02"`:                want,
		`"20250102T030405.5Z"`:                want.Add(time.Second / 2),
		`"20250102T030405,5Z"`:                want.Add(time.Second / 2),
		`"20250102 030405"`:                   want,
		`"20250102T0304Z"`:                    want.Add(-5 * time.Second),
		`"2025-01-02T03:04Z"`:                 want.Add(-5 * time.Second),
		`"2025-01-02T05:04+02:00"`:            want.Add(-5 * time.Second),
		`"20250102"`:                          time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC),
		`1735787045250`:                       want.Add(time.Second / 4), // milliseconds
	}
	for in, want := range tests {
		var got Time
		if err := json.Unmarshal([]byte(in), &got); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		`"soon"`, `1e300`, `{"a":1}`, `true`, `[1]`, `"2025-W01-4"`, `"2025-002"`, `"2025-13-01"`, `"2025-01-02T25:00:00Z"`, `"20250102T03:04:05Z"`, `"1735787045"`,
	} {
		got := Time{want}
		if err := json.Unmarshal([]byte(in), &got); err == nil || !got.IsZero() {
			t.Errorf("%s: got %v, %v, want an error and the zero time", in, got, err)
		}
	}
	out, err := json.Marshal([]Time{{want}, {}})
	if err != nil || string(out) != `["2025-01-02T03:04:05Z",null]` {
		t.Errorf("got %s, %v, want the time and null", out, err)
	}
}
