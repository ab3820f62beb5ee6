package data

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// A start waits for a database that cannot be reached, and fails at once for one that refuses.
func TestStartWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	refuses := newPostgres(t)
	refuses.Database.Source = strings.Replace(refuses.Database.Source, "/test_", "/absent_", 1)
	away := &conf.Data{Database: &conf.Data_Database{Driver: conf.DriverPostgres, Source: "postgres://u@127.0.0.1:1/d?sslmode=disable"}}
	for name, c := range map[string]*conf.Data{"refuses": refuses, "away": away} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, _, err := NewData(ctx, c, Observers{}, log.DefaultLogger)
		if waited := errors.Is(ctx.Err(), context.DeadlineExceeded); err == nil || waited != (name == "away") {
			t.Errorf("%s: waited %t, error %v", name, waited, err)
		}
	}
}
