// Package conf reads the configuration of the reference service, and reports
// all of its problems at once.
package conf

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-kratos/kratos/v2/config"
	"github.com/go-kratos/kratos/v2/config/file"
	_ "github.com/go-kratos/kratos/v2/encoding/yaml" // the format of the files
	"google.golang.org/protobuf/encoding/protojson"
)

// Load reads one configuration file, fills its ${NAME:default} placeholders
// from the environment and checks the result. A member that the configuration
// does not have is an error, so that a typing mistake is no silent default.
func Load(path string) (*Bootstrap, error) { return load(file.NewSource(path), path) }

func load(source config.Source, path string) (*Bootstrap, error) {
	c := config.New(config.WithSource(environment{}, checkedFile{source}))
	defer c.Close()
	if err := c.Load(); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	b, err := scan(c)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	b.clean(filepath.Dir(path))
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return b, nil
}

func scan(c config.Config) (*Bootstrap, error) {
	values := make(map[string]any)
	if err := c.Scan(&values); err != nil {
		return nil, err
	}
	for key := range values {
		if strings.HasPrefix(key, EnvPrefix) {
			delete(values, key)
		}
	}
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	b := new(Bootstrap)
	if err := protojson.Unmarshal(text, b); err != nil {
		return nil, redact(err, ofMembers)
	}
	return b, nil
}

// clean drops empty broker addresses, which unset placeholders leave behind,
// and makes paths independent of where they came from.
func (b *Bootstrap) clean(folder string) {
	if connection := b.GetMqtt().GetConnection(); connection != nil {
		var addresses []string
		for _, address := range connection.Addresses {
			if address = strings.TrimSpace(address); address != "" {
				addresses = append(addresses, address)
			}
		}
		connection.Addresses = addresses
	}
	if database := b.GetData().GetDatabase(); database.isFile() {
		database.Source = absolute(database.Source, folder, EnvDatabaseSource)
	}
	if outbox := b.GetMqtt().GetOutbox(); outbox.GetPath() != "" {
		outbox.Path = absolute(outbox.Path, folder, EnvOutboxPath)
	}
	if letters := b.GetMqtt().GetDeadLetters(); letters.GetPath() != "" {
		letters.Path = absolute(letters.Path, folder, "")
	}
}

// absolute makes a relative path start at the folder of the configuration,
// unless it came from the environment: whoever sets a variable means the
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
