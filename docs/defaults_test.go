package docs

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fallbacks returns the defaults of all settings in .env.example.
func fallbacks(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:# )?([A-Z][A-Z_]+)=(.*)$`).FindAllStringSubmatch(read(t, "../.env.example"), -1) {
		all[m[1]] = strings.Trim(m[2], `"`)
	}
	return all
}

// means reports whether prose, such as 30 days or 20 a minute, equals the value.
func means(prose, value string) bool {
	want, err := time.ParseDuration(value)
	if err != nil {
		return strings.NewReplacer(" a minute", "/m", " an hour", "/h", " a day", "/d", " and ", ",", "`", "", " ", "").Replace(prose) == value
	}
	number, unit, _ := strings.Cut(prose, " ")
	n, err := strconv.Atoi(number)
	units := map[string]time.Duration{"s": time.Second, "min": time.Minute, "days": 24 * time.Hour}
	return err == nil && time.Duration(n)*units[unit] == want
}

func TestDocs_Defaults_MatchCode(t *testing.T) {
	t.Parallel()
	all, told := fallbacks(t), 0
	check := func(path, name, prose string) {
		t.Helper()
		if told++; !means(prose, all[name]) {
			t.Errorf("%s: got %s for %s, want %s", path, prose, name, all[name])
		}
	}
	for path, text := range documents(t) {
		for _, m := range regexp.MustCompile("`(RELAY_[A-Z_]+)` \\(([^()]+)\\)").FindAllStringSubmatch(text, -1) {
			check(path, m[1], m[2])
		}
	}
	for _, row := range regexp.MustCompile(`(?m)^\| [^|]+ \| ([^|]+) \| (.*RELAY_.*) \|$`).FindAllStringSubmatch(section(t, "http-api.md", "Limits"), -1) {
		values := strings.Split(row[1], "; ")
		for i, m := range code.FindAllStringSubmatch(row[2], -1) {
			if m[1] != "RELAY_ATTACHMENT_TYPES" { // given in words
				check("http-api.md", m[1], values[i])
			}
		}
	}
	if told < 18 {
		t.Errorf("got %d defaults told, want all", told)
	}
}
