package stream

import "github.com/anyframe-relay/relay/relay/internal/event"

// tellRatings sends the last word about each answer, behind the answers: the ratings that
// the browser was not sent yet. One that was taken back is left out if the browser cannot
// have it.
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
