// Package jsonscan scans plainly written JSON without a decoder's allocations: members by
// their brackets and quotes, and strings without escapes. It may reject valid JSON, which
// encoding/json then decodes. It accepts invalid JSON only where a function says so.
package jsonscan
