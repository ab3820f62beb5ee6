package data

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

var testdb = postgres.NewServer()

func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.Main(m)) }

// database returns the configuration of a new, empty database.
type database func(testing.TB) *conf.Data

var databases = map[string]database{conf.DriverSQLite: newSQLite, conf.DriverPostgres: newPostgres}

func newSQLite(tb testing.TB) *conf.Data {
	return sqliteConfig(filepath.Join(tb.TempDir(), "test.db"))
}

func newPostgres(tb testing.TB) *conf.Data {
	return &conf.Data{Database: &conf.Data_Database{Driver: conf.DriverPostgres, Source: testdb.DSN(tb)}}
}

func sqliteConfig(source string) *conf.Data {
	return &conf.Data{Database: &conf.Data_Database{Driver: conf.DriverSQLite, Source: source}}
}

// eachDatabase runs a test on every kind of database that the service supports.
func eachDatabase(t *testing.T, test func(t *testing.T, c *conf.Data)) {
	t.Helper()
	t.Parallel()
	for driver, create := range databases {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			test(t, create(t))
		})
	}
}

// open opens a database and closes it when the test ends.
func open(t *testing.T, c *conf.Data) *Data {
	t.Helper()
	data, cleanup, err := NewData(context.Background(), c, Observers{}, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return data
}
