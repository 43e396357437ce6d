package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/joho/godotenv"
)

// bom is a byte order mark, which some Windows editors put at the start of a file.
const bom = "\ufeff"

// words are the settings whose text is shown to visitors. In these, quotation marks and
// invisible characters, such as those that set the text direction, may be intended.
var words = []string{"RELAY_TITLE", "RELAY_GREETING", "RELAY_STARTERS", "RELAY_NOTICE", "RELAY_CONSENT"}

// checkValue rejects a value enclosed in quotation marks or in invisible characters,
// which is always a mistake: a quoted key looks right, but AnyFrame rejects it. The
// error does not quote the value, which may be secret.
func checkValue(name, value string) error {
	if strings.HasPrefix(value, bom) || strings.HasSuffix(value, bom) {
		return errors.New("begins or ends with an invisible byte order mark (U+FEFF): retype the value, and save files as UTF-8 without BOM")
	}
	if value == "" || slices.Contains(words, name) {
		return nil
	}
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	for _, marks := range []string{`""`, `''`, "``", "“”", "„“", "‘’"} {
		if len(value) > 1 && strings.HasPrefix(marks, string(first)) && strings.HasSuffix(marks, string(last)) {
			return errors.New("is enclosed in quotation marks, which are part of the value here: remove them (docker run --env-file keeps them)")
		}
	}
	for _, r := range []rune{first, last} {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return fmt.Errorf("begins or ends with an invisible character (%U): retype the value", r)
		}
	}
	return nil
}

// checkKey rejects an AnyFrame key that cannot be sent in a header.
func checkKey(key string) error {
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\'' }) {
		return errors.New("contains a space, a quotation mark or another character that is not valid in a key: copy the key again")
	}
	return nil
}

// checkFile rejects a .env file that the parser would accept but misread.
func checkFile(content string) error {
	if strings.HasPrefix(content, "\xff\xfe") || strings.HasPrefix(content, "\xfe\xff") {
		return errors.New(".env is UTF-16: save it as UTF-8")
	}
	for n, line := range strings.Split(content, "\n") {
		if n > 0 && strings.HasPrefix(line, bom) {
			return fmt.Errorf(".env has an invisible byte order mark (U+FEFF) at the start of line %d: remove it", n+1)
		}
	}
	return nil
}

// checkExpansions rejects values of a .env file in which the parser replaces $NAME by the
// value of another line, or by nothing: such a value is nearly always a secret that
// contains a $. The error does not quote it.
func checkExpansions(content string) error {
	content = strings.TrimPrefix(content, bom)
	all := expanded(content)
	if len(all) == 0 {
		return nil
	}
	lines := strings.SplitAfter(content, "\n")
	var errs []error
	for n := 1; n <= len(lines) && len(all) > 0; n++ {
		for _, name := range slices.Sorted(maps.Keys(expanded(strings.Join(lines[:n], "")))) {
			if all[name] {
				errs = append(errs, fmt.Errorf("%s in line %d of .env contains a $ that would begin the name of a variable: put the value in single quotes, or write \\$", name, n))
				delete(all, name)
			}
		}
	}
	return errors.Join(errs...)
}

// expanded returns the names of the values that the parser changes because of a $. It
// compares them with the values of a file that has a placeholder for each $ that is not
// escaped.
func expanded(content string) map[string]bool {
	const placeholder = "\x01"
	literal := strings.ReplaceAll(content, "$", placeholder)
	literal = strings.ReplaceAll(literal, `\`+placeholder, `\$`)
	got, err := godotenv.Unmarshal(content)
	want, wantErr := godotenv.Unmarshal(literal)
	if err != nil || wantErr != nil {
		return nil // a part of the file that ends within a value
	}
	names := map[string]bool{}
	for name, value := range got {
		if strings.ReplaceAll(value, placeholder, "$") != strings.ReplaceAll(want[name], placeholder, "$") {
			names[name] = true
		}
	}
	return names
}
