package client

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Wrap puts middleware around a handler, the first one outermost; nil middleware is left
// out. It returns an error if one panics while it is constructed or returns a nil handler,
// because leaving it out could leave out an authorisation.
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
			return h, errors.New("a middleware returned a nil handler")
		}
	}
	return h, nil
}
