package conf

import "strings"

// module is the path of this module. `kratos new NAME` replaces it by NAME in every file.
const module = "github.com/kratos-mqtt/kratos-mqtt"

// ServiceName returns the name of the service: report-service, or NAME in a service that
// `kratos new NAME` made of this one.
func ServiceName() string {
	if strings.Contains(module, "/") {
		return "report-service"
	}
	return module
}
