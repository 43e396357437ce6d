// Package problem defines every refusal that a visitor can receive, as an RFC 9457
// document: status, stable code, title, and a detail written for visitors. It never
// contains AnyFrame's wording, an id or a key.
package problem
