module optipod.dev/bench/go_extender

go 1.19
