package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// bom is a byte order mark, which editors on Windows put before a text.
const bom = "\ufeff"

// words are the settings that people read: quotation marks and invisible
// characters, such as those that turn the direction of writing, may be meant.
var words = []string{"RELAY_TITLE", "RELAY_GREETING", "RELAY_STARTERS", "RELAY_NOTICE", "RELAY_CONSENT"}

// checkValue refuses a value with something around it that cannot be meant. A
// key in quotation marks looks right to a person, and AnyFrame refuses it. The
// error does not quote the value, which may be secret.
func checkValue(name, value string) error {
	if strings.HasPrefix(value, bom) || strings.HasSuffix(value, bom) {
		return errors.New("begins or ends with a byte order mark (U+FEFF), which is invisible: write the value again, and save files as UTF-8 without BOM")
	}
	if value == "" || slices.Contains(words, name) {
		return nil
	}
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	for _, marks := range []string{`""`, `''`, "``", "“”", "„“", "‘’"} {
		if len(value) > 1 && strings.HasPrefix(marks, string(first)) && strings.HasSuffix(marks, string(last)) {
			return errors.New("is in quotation marks, which are part of the value here (docker run --env-file keeps them): remove them")
		}
	}
	for _, r := range []rune{first, last} {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return fmt.Errorf("begins or ends with an invisible character (%U): write the value again", r)
		}
	}
	return nil
}

// checkKey refuses an AnyFrame key that no request could carry.
func checkKey(key string) error {
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\'' }) {
		return errors.New("has a space, a quotation mark or another character in it that no key has: copy it again")
	}
	return nil
}

// checkFile refuses a .env that begins right and is then misread.
func checkFile(content string) error {
	if strings.HasPrefix(content, "\xff\xfe") || strings.HasPrefix(content, "\xfe\xff") {
		return errors.New(".env is UTF-16: save it as UTF-8")
	}
	for n, line := range strings.Split(content, "\n") {
		if n > 0 && strings.HasPrefix(line, bom) {
			return fmt.Errorf(".env begins line %d with a byte order mark (U+FEFF), which is invisible: remove it", n+1)
		}
	}
	return nil
}
