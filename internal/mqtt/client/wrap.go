package client

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Wrap puts middleware around a handler, the first one outermost, without those
// that are nil. One that panics while it is constructed, or makes a handler that
// is nil, is an error: leaving it out could leave out an authorisation.
func Wrap[H any, M ~func(H) H](h H, ms []M) (_ H, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the construction of a middleware panicked: %v", r)
		}
	}()
	for _, m := range slices.Backward(ms) {
		if m == nil {
			continue
		}
		if h = m(h); reflect.ValueOf(h).IsNil() {
			return h, errors.New("a middleware made a handler that is nil")
		}
	}
	return h, nil
}
