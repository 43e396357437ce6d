package anyframe

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTimeReadsWhatServersWrite(t *testing.T) {
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
		`"soon"`:                              {},
		`1e300`:                               {},
		`{"a":1}`:                             {},
		`true`:                                {},
	}
	for in, want := range tests {
		var got Time
		if err := json.Unmarshal([]byte(in), &got); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", in, got, err, want)
		}
	}
	out, err := json.Marshal([]Time{{want}, {}})
	if err != nil || string(out) != `["2025-01-02T03:04:05Z",null]` {
		t.Errorf("got %s, %v, want the time and null", out, err)
	}
}
