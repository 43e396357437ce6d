package stream

import "github.com/anyframe-relay/relay/relay/internal/event"

// tellRatings sends the ratings that the browser has not received yet, after the answers,
// and only the last one of each answer. A withdrawn rating is omitted if the browser
// cannot have it.
func (s *stream) tellRatings() (wrote bool, err error) {
	now := s.view.Ratings
	if now == s.told.Ratings || s.view.Erased {
		return false, nil
	}
	first := s.told.Ratings == nil
	for _, r := range now.News(s.told.Ratings, s.view.Epoch) {
		if r.Rating == "" && first && !s.went {
			continue
		}
		if err := s.write(event.Item{Kind: "feedback", Data: event.FeedbackOf(r.Turn, r.Rating)}.Entry(0).Frame); err != nil {
			return wrote, err
		}
		wrote = true
	}
	s.told.Ratings = now
	return wrote, s.flush()
}
