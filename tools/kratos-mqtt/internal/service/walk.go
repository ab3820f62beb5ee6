package service

import "errors"

// Walk counts the pages of a list, because a broken service may never end one. The zero value is
// ready for use.
type Walk struct{ pages int }

// maxPages bounds a walk. A page has up to 1,000 rows, or is a search through 100,000 letters.
const maxPages = 10_000

// ErrEndless is the error of a list that does not end.
var ErrEndless = errors.New("the service does not get on: it returns one page after another without an end")

// Next counts a page behind the cursor before, and returns an error if the walk must not go on
// to the cursor after; "" is the end.
func (w *Walk) Next(before, after string) error {
	if w.pages++; after != "" && (after == before || w.pages >= maxPages) {
		return ErrEndless
	}
	return nil
}
