package service_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

// A list ends with an error if its cursor stays, or if there is always another one.
func TestWalkEnds(t *testing.T) {
	t.Parallel()
	var w service.Walk
	if err := errors.Join(w.Next("", "a"), w.Next("a", "b"), w.Next("b", "")); err != nil {
		t.Error(err)
	}
	if err := w.Next("b", "b"); !errors.Is(err, service.ErrEndless) {
		t.Errorf("the same cursor: %v", err)
	}
	w = service.Walk{}
	for i := range 20_000 {
		if err := w.Next(strconv.Itoa(i), strconv.Itoa(i+1)); err != nil {
			return
		}
	}
	t.Error("20,000 pages without an error")
}
