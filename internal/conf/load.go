// Package conf reads the configuration of the reference service and reports all of
// its problems at once.
package conf

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/kratos-mqtt/kratos-mqtt/configfile"
)

// Load reads one configuration file, replaces its ${NAME:default} placeholders from
// the environment, and validates the result, also with the given checks. All problems
// are returned together, each with file, line and key ([configfile.FileErrors]).
func Load(path string, checks ...func(*Bootstrap) error) (*Bootstrap, error) {
	b := new(Bootstrap)
	all := make([]func() error, 0, 1+len(checks))
	all = append(all, b.Validate)
	for _, check := range checks {
		all = append(all, func() error { return check(b) })
	}
	if err := configfile.Load(path, b, all...); err != nil {
		return nil, err
	}
	b.clean(filepath.Dir(path))
	return b, nil
}

// joinChecks returns the problems that Validate and another check find.
func joinChecks(b *Bootstrap, check func(*Bootstrap) error) error {
	return errors.Join(b.Validate(), check(b))
}

// clean makes the relative paths of b absolute.
func (b *Bootstrap) clean(folder string) {
	if database := b.GetData().GetDatabase(); database.isFile() {
		database.Source = absolute(database.Source, folder, EnvDatabaseSource)
	}
	if outbox := b.GetMqtt().GetOutbox(); outbox.GetPath() != "" {
		outbox.Path = absolute(outbox.Path, folder, EnvOutboxPath)
	}
	if embedded := b.GetServer().GetEmbedded(); embedded.GetPath() != "" {
		embedded.Path = absolute(embedded.Path, folder, EnvMQTTPath)
	}
	if operator := b.GetServer().GetOperator(); operator != nil {
		for _, path := range []*string{&operator.TokenFile, &operator.Archive} {
			if *path != "" {
				*path = absolute(*path, folder, "")
			}
		}
	}
	if letters := b.GetMqtt().GetDeadLetters(); letters.GetPath() != "" {
		letters.Path = absolute(letters.Path, folder, "")
	}
}

// absolute resolves a relative path against the folder of the configuration file,
// unless the path came from the environment variable: that one is relative to the
// working directory.
func absolute(path, folder, variable string) string {
	if filepath.IsAbs(path) {
		return path
	}
	if variable == "" || path != os.Getenv(variable) {
		return filepath.Join(folder, path)
	}
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}
