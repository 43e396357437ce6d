package event

import "github.com/anyframe-relay/relay/relay/internal/redact"

// Mask masks all text in an event's data that a person or the agent wrote. Deltas have
// already been masked, each in the context of those before it.
func Mask(marks *redact.Patterns, data any) any {
	switch d := data.(type) {
	case TextData:
		if !d.Delta {
			d.Text = redact.Text(marks, d.Text)
		}
		return d
	case UserData:
		d.Text = redact.Text(marks, d.Text)
		files := make([]Attachment, 0, len(d.Attachments))
		for _, f := range d.Attachments {
			files = append(files, Attachment{redact.Text(marks, f.Name), redact.Text(marks, f.MIME)})
		}
		d.Attachments = files
		return d
	case ToolData:
		d.Name, d.Summary = redact.Text(marks, d.Name), redact.Text(marks, d.Summary)
		return d
	case QuestionData:
		d.Question = redact.Text(marks, d.Question)
		options := make([]string, 0, len(d.Options))
		for _, o := range d.Options {
			options = append(options, redact.Text(marks, o))
		}
		d.Options = options
		return d
	case ApprovalData:
		d.Tool, d.Input = redact.Text(marks, d.Tool), redact.JSON(marks, d.Input)
		return d
	case UpstreamData:
		d.Payload = redact.JSON(marks, d.Payload)
		return d
	}
	return data
}
