#!/usr/bin/env bash
# Makes the secrets that compose.yaml mounts, once: random passwords and the settings that hold them.
#
#   deploy/compose/secrets.sh [FOLDER]     default: secrets, or what MARTLET_SECRETS names
#
# Files that are there stay as they are. The folder is for its owner alone; the files in it can be read by
# anybody who gets that far, because the processes in the containers are not this machine's user.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
folder=${1:-${MARTLET_SECRETS:-secrets}}
mkdir -p -- "$folder"
chmod 700 -- "$folder"

# keep NAME: standard input becomes the file NAME, unless there is one.
keep() {
    local file=$folder/$1
    if [[ -s $file ]]; then
        cat >/dev/null
        return
    fi
    cat >"$file.new"
    chmod 444 -- "$file.new"
    mv -- "$file.new" "$file"
}

# 192 random bits as hexadecimal digits: they need no escaping in a URL.
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for name in rabbitmq redis postgres s3; do random | keep "${name}_password"; done
secret() { cat -- "$folder/$1_password"; }

printf 'default_user = martlet\ndefault_pass = %s\n' "$(secret rabbitmq)" | keep rabbitmq_user.conf
printf 'requirepass %s\nappendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\ndir /data\n' "$(secret redis)" | keep redis.conf
printf 'amqp://martlet:%s@rabbitmq:5672/%%2F\n' "$(secret rabbitmq)" | keep amqp_url
printf 'http://martlet:%s@rabbitmq:15672\n' "$(secret rabbitmq)" | keep amqp_management_url
printf 'redis://:%s@redis:6379/0\n' "$(secret redis)" | keep redis_url
printf 'postgresql://martlet:%s@postgres:5432/martlet\n' "$(secret postgres)" | keep postgres_url
printf '[default]\naws_access_key_id = martlet\naws_secret_access_key = %s\n' "$(secret s3)" | keep aws_credentials
# For the secrets of receivers, which only their owners know: example.env names the files.
mkdir -p -- "$folder/notify"
printf 'secrets are in %s\n' "$folder"
