// Package telemetry provides what operators see: the metrics, a request's line in the
// access log ([RequestInfo]), and the spans of a turn. Labels come from fixed sets, and
// log lines do not reveal a visitor's identity to outsiders.
//
// It does not depend on sessions: the subject of a line describes itself ([Subject]).
package telemetry
