//go:build !linux

package postgres

import "errors"

func freeze(int) (thaw func(), err error) { return func() {}, errors.ErrUnsupported }
