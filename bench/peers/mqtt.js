// Reads the client id of a CONNECT, MQTT 3.1, 3.1.1 or 5.0, before the upstream is chosen.
let id = '';

function read(s) {
    let seen = Buffer.alloc(0);
    s.on('upstream', function (data) {
        seen = seen.length ? Buffer.concat([seen, data]) : data;
        const found = parse(seen);
        if (found === undefined) {
            return;
        }
        s.off('upstream');
        if (found === null) {
            s.deny();
            return;
        }
        id = found;
        s.done();
    });
}

// Undefined as long as bytes are missing, null if this is no CONNECT.
function parse(bytes) {
    if (bytes.length < 2) {
        return undefined;
    }
    if (bytes[0] !== 0x10) {
        return null;
    }
    const length = variable(bytes, 1);
    if (length === undefined || bytes.length < length.next + length.value) {
        return undefined;
    }
    let at = length.next + 2 + bytes.readUInt16BE(length.next);
    const level = bytes[at];
    at += 4;
    if (level === 5) {
        const properties = variable(bytes, at);
        at = properties.next + properties.value;
    }
    return bytes.toString('utf8', at + 2, at + 2 + bytes.readUInt16BE(at));
}

function variable(bytes, at) {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
        if (at >= bytes.length) {
            return undefined;
        }
        const byte = bytes[at++];
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            return { value: value, next: at };
        }
    }
    return undefined;
}

function clientId() {
    return id;
}

export default { read, clientId };
