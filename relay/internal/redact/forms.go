package redact

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Keys come as they are, or as something prints or escapes them. What begins with afm_
// is recognised in every writing that has each character by itself; what is coded
// several characters at a time, such as base64, only if it begins as our own key does.

// writing says how a key is written, and so what goes on with it. A key may be written
// in several ways at once, as far as is known.
type writing uint8

const (
	plain  writing = 1 << iota // its characters, or escapes of them
	coded                      // base64 and the like, which may go on in the next line
	spaced                     // numbers, with something between them
)

// anyKey is what AnyFrame's keys begin with.
const anyKey = "afm_"

// maxHead is how many characters of a key that is not AnyFrame's are shown at most.
const maxHead = 16

// patternsOf are the patterns for AnyFrame's keys and for our own.
func patternsOf(own string) []pattern {
	all := append(escaped(anyKey, plain), numbers(anyKey)...)
	if len(own) < 8 && own != anyKey {
		return all
	}
	head := own[:min(len(anyKey)+2, len(own))] // what all keys begin with, and as much as makes it ours
	if !strings.HasPrefix(own, anyKey) {
		head = own[:min(len(own)/2, maxHead)]
		all = append(append(all, escaped(head, plain|coded)...), numbers(head)...)
	}
	for _, text := range encodings(head) {
		all = append(all, pattern{regexp.QuoteMeta(text), coded})
	}
	return all
}

// entities are the names in HTML of what keys hold and has one.
var entities = map[byte]string{'_': "lowbar|UnderBar", '-': "hyphen|dash"}

// hexOf is a byte in hexadecimal digits of either case.
func hexOf(c byte) string {
	var b strings.Builder
	for _, digit := range fmt.Sprintf("%02x", c) {
		if digit >= 'a' {
			fmt.Fprintf(&b, "[%c%c]", digit, digit-'a'+'A')
		} else {
			b.WriteRune(digit)
		}
	}
	return b.String()
}

// escaped is a text of which each character is itself or escaped: for Markdown, in
// HTML, in a URL, in a mail, or in a string of some language.
func escaped(text string, ends writing) []pattern {
	var b strings.Builder
	for i := range len(text) {
		c, hex := text[i], hexOf(text[i])
		forms := []string{
			regexp.QuoteMeta(string(c)),
			`&(?:amp;)*#0*` + fmt.Sprint(c) + `;?`, `&(?:amp;)*#[xX]0*` + hex + `;?`,
			`%(?:25)*` + hex, `=` + hex,
			`\\+[xuU]\{?0*` + hex + `\}?`, `\\+o?\{?0*` + fmt.Sprintf("%o", c) + `\}?`,
		}
		if !isAlphanumeric(c) {
			forms = append(forms, `\\+`+regexp.QuoteMeta(string(c)))
		}
		if names, ok := entities[c]; ok {
			forms = append(forms, `&(?:amp;)*(?:`+names+`);?`)
		}
		if i > 0 {
			b.WriteString(`(?:=\r?\n)?`) // a line that a mail goes on after
		}
		b.WriteString(`(?:` + strings.Join(forms, "|") + `)`)
	}
	return []pattern{{b.String(), ends}}
}

const (
	between = `(?:[ \t\r\n:,;.|"'\[\](){}+-]|\\+[nrt])` // numbers
	anyByte = `[0-9A-Fa-f][0-9A-Fa-f]`
)

// numbers is a text of which each character is its number: in hexadecimal digits, with
// or without something between them, also as words of two bytes whose second comes
// first; in octal or decimal digits; or in bits.
func numbers(text string) []pattern {
	var hex, octal, decimal, bits []string
	for i := range len(text) {
		c := text[i]
		hex = append(hex, `(?:0[xX]|\\+[xuU]0*|%|U\+0*)?`+hexOf(c))
		octal = append(octal, `0*o?`+fmt.Sprintf("%o", c))
		decimal = append(decimal, fmt.Sprintf("0*%d", c))
		bits = append(bits, fmt.Sprintf("(?:0b)?%08b", c))
	}
	all := []string{
		strings.Join(hex, between+"*"), strings.Join(bits, between+"*"),
		strings.Join(octal, between+"+"), strings.Join(decimal, between+"+"),
		strings.Join(swapped(text), between+"*"), // it begins with the first byte of a word
		hexOf(text[0]) + anyByte + between + "*" + strings.Join(swapped(text[1:]), between+"*"),
	}
	patterns := make([]pattern, 0, len(all))
	for _, expr := range all {
		patterns = append(patterns, pattern{expr, spaced})
	}
	return patterns
}

// swapped is the words of two bytes that a text is, the second byte of each first. The
// last may hold something else too.
func swapped(text string) (words []string) {
	for i := 0; i < len(text); i += 2 {
		second := anyByte
		if i+1 < len(text) {
			second = hexOf(text[i+1])
		}
		words = append(words, second+hexOf(text[i]))
	}
	return words
}

// encodings are the codes of a text that is not at the end of what is coded, several
// characters at a time. They depend on where in that the text begins.
func encodings(text string) []string {
	var all []string
	for before := range 3 {
		code := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:before] + text))
		code = code[(before*8+5)/6 : (before+len(text))*8/6] // the characters that are the text's alone
		all = append(all, code, strings.NewReplacer("+", "-", "/", "_").Replace(code))
	}
	for before := range 5 {
		code := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("\x00\x00\x00\x00"[:before] + text))
		code = code[(before*8+4)/5 : (before+len(text))*8/5]
		all = append(all, code, strings.ToLower(code))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
