// Package problem is every refusal that a visitor can get, as RFC 9457 has it: status,
// stable code, title and detail in the words of a support page. Nothing that AnyFrame
// said, no id and no key gets in.
package problem
