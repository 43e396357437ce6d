// Package problem is the table of refusals and how a refusal travels: RFC 9457
// documents with a stable code.
//
// It knows which errors of AnyFrame and of the store become which refusal. It
// knows no route, no visitor and no session.
package problem
