package data

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sqliteConfig(source string) *conf.Data {
	return &conf.Data{Database: &conf.Data_Database{Driver: conf.DriverSQLite, Source: source}}
}

// open opens a database file that closes with the test.
func open(t *testing.T, source string) *Data {
	t.Helper()
	data, cleanup, err := NewData(context.Background(), sqliteConfig(source), log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return data
}

func newFile(t *testing.T) string { return filepath.Join(t.TempDir(), "test.db") }
