package loop

import "understudy/config"

// config is the configuration in force. It is replaced between two passes only; what
// runs beside them sees the one or the other, whole.
func (l *Loop) config() *config.Config { return l.cfg.Load() }
