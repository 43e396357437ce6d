package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
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
