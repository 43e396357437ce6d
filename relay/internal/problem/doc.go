// Package problem defines every refusal that a visitor can get, as RFC 9457 problem
// details: status, stable code, title and detail. Titles and details never contain text
// from AnyFrame, ids or keys.
package problem
