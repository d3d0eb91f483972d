// The managed Node.js runtime of a cell: Lambda's Runtime API, client side.
//
// Started as `node index.mjs` with the function's environment; reads _HANDLER and
// LAMBDA_TASK_ROOT.  CommonJS and ES module handlers; async, promise and callback
// style; streamed responses, as `awslambda.streamifyResponse` makes them.

import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { Writable } from "node:stream";
import { format } from "node:util";
import { pathToFileURL } from "node:url";

const ROOT = process.env.LAMBDA_TASK_ROOT ?? "/var/task";
const [API_HOST, API_PORT] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const AGENT = new http.Agent({ keepAlive: true, maxSockets: 2 });
const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");
const ERROR_TYPE = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY = "Lambda-Runtime-Function-Error-Body";
const HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response";
const JSON_LOGS = process.env.AWS_LAMBDA_LOG_FORMAT === "JSON";

let requestId = "";
let reportFatal = postInitError;
let whenIdle = null;

class Fault extends Error {
  constructor(type, message, cause) {
    super(message);
    this.name = type;
    if (cause?.stack) this.stack = cause.stack;
  }
}

// --- the Runtime API ---------------------------------------------------------

function call(method, tail, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: API_HOST,
        port: API_PORT,
        method,
        path: `/2018-06-01/runtime/${tail}`,
        agent: AGENT,
        headers:
          body === undefined
            ? headers
            : {
                "Content-Type": "application/json",
                "Content-Length": Buffer.byteLength(body),
                ...headers,
              },
      },
      (response) => {
        const pieces = [];
        response.on("data", (piece) => pieces.push(piece));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode,
            headers: response.headers,
            body: Buffer.concat(pieces).toString("utf8"),
          }),
        );
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

function documentOf(error) {
  if (error instanceof Error || (error && typeof error === "object" && error.stack)) {
    return {
      errorType: String(error.name ?? "Error"),
      errorMessage: String(error.message ?? ""),
      trace: String(error.stack ?? "").split("\n"),
    };
  }
  const message = typeof error === "string" ? error : format("%s", error);
  return { errorType: typeof error, errorMessage: message, trace: [] };
}

function errorName(document) {
  return document.errorType.replace(/[^\w.]/g, "_").slice(0, 256) || "Error";
}

async function postError(tail, error) {
  const document = documentOf(error);
  await call("POST", tail, JSON.stringify(document), {
    [ERROR_TYPE]: errorName(document),
  });
}

async function postInitError(error) {
  log("ERROR", "Uncaught Exception", error);
  await postError("init/error", error);
}

// --- the log -----------------------------------------------------------------

function log(level, ...values) {
  const now = new Date().toISOString();
  if (JSON_LOGS) {
    const [first] = values;
    const message = values.length === 1 && !(first instanceof Error) ? first : format(...values);
    const entry = { timestamp: now, level, requestId, message };
    let text;
    try {
      text = JSON.stringify(entry);
    } catch {
      text = JSON.stringify({ ...entry, message: format(...values) });
    }
    process.stdout.write(`${text}\n`);
    return;
  }
  // A newline would end the event; the platform turns carriage returns back.
  const line = `${now}\t${requestId}\t${level}\t${format(...values)}`;
  process.stdout.write(`${line.replace(/\r?\n/g, "\r")}\n`);
}

function patchConsole() {
  const levels = {
    log: "INFO",
    info: "INFO",
    debug: "DEBUG",
    warn: "WARN",
    error: "ERROR",
    trace: "TRACE",
    fatal: "FATAL",
  };
  for (const [name, level] of Object.entries(levels)) {
    console[name] = (...values) => log(level, ...values);
  }
}

// --- the handler -------------------------------------------------------------

function split(name) {
  if (name.includes("..")) {
    throw new Fault("Runtime.MalformedHandlerName", `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const last = path.basename(name);
  const folder = name.slice(0, name.length - last.length);
  const match = /^([^.]*)\.(.+)$/.exec(last);
  if (!match) throw new Fault("Runtime.MalformedHandlerName", "Bad handler");
  return { folder, module: match[1], property: match[2] };
}

async function importModule(folder, module) {
  const base = path.resolve(ROOT, folder, module);
  for (const [suffix, load] of [
    ["", requireOf],
    [".js", (file) => (isModule(file) ? importOf(file) : requireOf(file))],
    [".mjs", importOf],
    [".cjs", requireOf],
  ]) {
    const file = base + suffix;
    if (fs.statSync(file, { throwIfNoEntry: false })?.isFile()) return load(file);
  }
  return requireOf(
    createRequire(path.join(ROOT, "package.json")).resolve(module, {
      paths: [ROOT, path.resolve(ROOT, folder)],
    }),
  );
}

function requireOf(file) {
  return createRequire(file)(file);
}

function importOf(file) {
  return import(pathToFileURL(file).href);
}

function isModule(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, "package.json");
    if (fs.existsSync(manifest)) {
      return JSON.parse(fs.readFileSync(manifest, "utf8")).type === "module";
    }
    if (folder === path.dirname(folder)) return false;
  }
}

async function loadHandler(name) {
  const { folder, module, property } = split(name);
  let exported;
  try {
    exported = await importModule(folder, module);
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new Fault("Runtime.UserCodeSyntaxError", String(error), error);
    }
    if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") {
      throw new Fault("Runtime.ImportModuleError", `Error: ${error.message}`, error);
    }
    throw error;
  }
  const find = (from) => property.split(".").reduce((value, key) => value?.[key], from);
  const handler = find(exported) ?? find(exported?.default);
  if (!handler) throw new Fault("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof handler !== "function") {
    throw new Fault("Runtime.HandlerNotFound", `${name} is not a function`);
  }
  const mode = handler[STREAMING];
  if (mode && mode !== "response") {
    throw new Fault("Runtime.MalformedStreamingHandler", "Only response streaming is supported.");
  }
  return handler;
}

// --- one invocation ----------------------------------------------------------

function contextOf(headers, settle) {
  const deadline = Number.parseInt(headers["lambda-runtime-deadline-ms"], 10);
  const clientContext = headers["lambda-runtime-client-context"];
  const environment = process.env;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: clientContext
      ? JSON.parse(Buffer.from(clientContext, "latin1").toString("utf8"))
      : undefined,
    identity: undefined,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    tenantId: headers["lambda-runtime-aws-tenant-id"],
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    succeed: (value) => settle({ value, now: true }),
    fail: (error) => settle({ error: error ?? new Error("handled"), failed: true, now: true }),
    done: (error, value) => settle(error ? { error, failed: true } : { value, now: true }),
  };
}

// Gives {value} or {error, failed}.  A callback's answer waits for the event loop
// to empty, unless the context says otherwise; so does a handler that never answers.
function invoke(handler, event, headers) {
  return new Promise((resolve) => {
    let settled = false;
    let context;
    const settle = (ending) => {
      if (settled) return;
      settled = true;
      if (ending.now || ending.failed || !context.callbackWaitsForEmptyEventLoop) {
        whenIdle = null;
        resolve(ending);
      } else {
        whenIdle = () => resolve(ending);
      }
    };
    context = contextOf(headers, settle);
    const callback = (error, value) =>
      settle(error ? { error, failed: true } : { value });
    whenIdle = () => resolve({ value: null });
    try {
      const result = handler(event, context, callback);
      if (typeof result?.then === "function") {
        result.then(
          (value) => settle({ value, now: true }),
          (error) => settle({ error, failed: true }),
        );
      }
    } catch (error) {
      settle({ error, failed: true });
    }
  });
}

// A streamed answer.  The request opens with its first byte; what cannot be sent
// yet is held back here, and with it the handler.  An error after the first byte
// goes out as trailers, before it as an error like any other.
class ResponseStream extends Writable {
  #tail;
  #request = null;
  #answered = Promise.resolve();
  #contentType = "application/octet-stream";
  #written = false;
  #failure = null;

  constructor(tail, highWaterMark) {
    super({ highWaterMark, decodeStrings: true });
    this.#tail = tail;
    this.on("error", () => {});
  }

  get begun() {
    return this.#request !== null;
  }

  setContentType(contentType) {
    if (this.#written) {
      throw new Fault("Runtime.InvalidStreamingOperation", "Cannot set content-type, too late.");
    }
    this.#contentType = contentType;
  }

  write(chunk, ...rest) {
    this.#beforeFirst();
    return super.write(sendable(chunk), ...rest);
  }

  end(chunk, ...rest) {
    if (!this.writableEnded) this.#beforeFirst();
    if (chunk === undefined || chunk === null || typeof chunk === "function") {
      return super.end(chunk, ...rest);
    }
    return super.end(sendable(chunk), ...rest);
  }

  // What Lambda's own helper, and those of others, hook into.
  #beforeFirst() {
    if (this.#written) return;
    this.#written = true;
    this._onBeforeFirstWrite?.((chunk) => super.write(sendable(chunk)));
  }

  // Sends the error in place of the end, after all that was written.  Gives false
  // if nothing has begun.
  async fail(error) {
    if (!this.begun) return false;
    this.#failure ??= error ?? new Error("the handler was rejected without a reason");
    if (!this.destroyed && !this.writableEnded) super.end();
    await this.#answered;
    return true;
  }

  // Waits until the Runtime API has the whole of it, even if that is nothing.
  async taken() {
    if (!this.begun) {
      this.#open();
      this.#request.end();
    }
    await this.#answered;
  }

  _write(chunk, _encoding, done) {
    this.#open();
    if (this.#request.write(chunk)) done();
    else this.#request.once("drain", done);
  }

  _final(done) {
    this.#open();
    this.#close(this.#failure);
    done();
  }

  _destroy(error, done) {
    if (this.begun && !this.#request.writableEnded) {
      this.#close(this.#failure ?? error ?? new Error("The response stream was destroyed"));
    }
    done(error);
  }

  #close(failure) {
    if (failure !== null && failure !== undefined) {
      const document = documentOf(failure);
      this.#request.addTrailers({
        [ERROR_TYPE]: errorName(document),
        [ERROR_BODY]: Buffer.from(JSON.stringify(document)).toString("base64"),
      });
    }
    this.#request.end();
  }

  #open() {
    if (this.#request) return;
    this.#request = http.request({
      host: API_HOST,
      port: API_PORT,
      method: "POST",
      path: `/2018-06-01/runtime/${this.#tail}/response`,
      agent: false, // a connection of its own, which ends with it
      headers: {
        "Content-Type": this.#contentType,
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        "Transfer-Encoding": "chunked",
        Trailer: `${ERROR_TYPE}, ${ERROR_BODY}`,
      },
    });
    this.#answered = new Promise((resolve) => {
      this.#request.on("response", (response) => {
        let reason = "";
        response.setEncoding("utf8");
        response.on("error", () => {});
        response.on("data", (piece) => (reason += piece));
        response.on("close", () => {
          if (response.statusCode !== 202) this.#refused(new Error(reason));
          resolve();
        });
      });
      this.#request.on("error", (error) => {
        this.#refused(error);
        resolve();
      });
    });
  }

  #refused(error) {
    log("ERROR", "Invoke Error", error.message);
    if (!this.destroyed) this.destroy(error);
  }
}

function sendable(chunk) {
  if (typeof chunk === "string" || chunk instanceof Uint8Array) return chunk;
  return JSON.stringify(chunk) ?? "null";
}

// The prelude of an answer to an HTTP request: its metadata as JSON, eight NULs.
const HttpResponseStream = {
  from(stream, prelude) {
    const metadata = JSON.stringify(prelude ?? {});
    stream.setContentType(HTTP_INTEGRATION);
    stream._onBeforeFirstWrite = (write) => {
      write(metadata);
      write(new Uint8Array(8));
    };
    return stream;
  },
};

async function serveStream(handler, event, headers, tail) {
  const stream = new ResponseStream(tail, handler[HIGH_WATER_MARK]);
  const postBefore = reportFatal;
  reportFatal = async (error) => {
    if (stream.begun) log("ERROR", "Uncaught Exception", error);
    if (!(await stream.fail(error))) await postBefore(error);
  };
  const finished = new Promise((resolve) => stream.once("close", resolve));
  const settled = new Promise((resolve) => {
    const context = contextOf(headers, () => {});
    for (const name of ["succeed", "fail", "done"]) delete context[name];
    try {
      const result = handler(event, stream, context);
      if (typeof result?.then !== "function") {
        throw new Fault("Runtime.InvalidStreamingOperation", "Streaming does not support non-async handlers.");
      }
      result.then(
        () => resolve({}),
        (error) => resolve({ error, failed: true }),
      );
    } catch (error) {
      resolve({ error, failed: true });
    }
  });
  // A handler may return before what it has started is written; when nothing is
  // left that could write, the stream ends.
  const idle = new Promise((resolve) => {
    whenIdle = () => resolve({ idle: true });
  });
  const ending = await Promise.race([settled, idle]);
  if (!ending.failed && !stream.destroyed) {
    if (ending.idle) stream.end();
    await Promise.race([
      finished,
      new Promise((resolve) => {
        whenIdle = resolve;
      }),
    ]);
    if (!stream.writableEnded) stream.end();
  }
  if (ending.failed) {
    log("ERROR", "Invoke Error", documentLine(ending.error));
    if (!(await stream.fail(ending.error))) await postError(`${tail}/error`, ending.error);
  } else if (!stream.begun && stream.errored) {
    await postError(`${tail}/error`, stream.errored);
  } else {
    await stream.taken();
  }
  whenIdle = null;
}

async function serveOne(handler) {
  const { headers, body, status } = await call("GET", "invocation/next");
  if (status !== 200) throw new Error(`the Runtime API answered ${status}`);
  requestId = headers["lambda-runtime-aws-request-id"];
  process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] ?? "";
  const tail = `invocation/${requestId}`;
  reportFatal = async (error) => {
    log("ERROR", "Uncaught Exception", error);
    await postError(`${tail}/error`, error);
  };
  if (handler[STREAMING]) {
    await serveStream(handler, JSON.parse(body), headers, tail);
    return;
  }
  const ending = await invoke(handler, JSON.parse(body), headers);
  whenIdle = null;
  if (ending.failed) {
    log("ERROR", "Invoke Error", documentLine(ending.error));
    await postError(`${tail}/error`, ending.error);
    return;
  }
  let answer;
  try {
    answer = JSON.stringify(ending.value === undefined ? null : ending.value) ?? "null";
  } catch (error) {
    await postError(`${tail}/error`, new Fault("Runtime.MarshalError", `Unable to stringify response body: ${error.message}`, error));
    return;
  }
  const { status: taken, body: reason } = await call("POST", `${tail}/response`, answer);
  if (taken === 413) log("ERROR", "Invoke Error", reason);
}

function documentLine(error) {
  const { errorType, errorMessage, trace } = documentOf(error);
  return JSON.stringify({ errorType, errorMessage, stack: trace });
}

// --- the process -------------------------------------------------------------

function dieReporting(status) {
  return (error) => {
    reportFatal(error).finally(() => process.exit(status));
  };
}

process.on("uncaughtException", dieReporting(129));
process.on("unhandledRejection", (reason) =>
  dieReporting(128)(
    new Fault("Runtime.UnhandledPromiseRejection", reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason), reason),
  ),
);
// Nothing is left in the loop: a handler that waits for that has its answer now.
process.on("beforeExit", () => {
  const answer = whenIdle;
  whenIdle = null;
  answer?.();
});

globalThis.awslambda = {
  streamifyResponse: (handler, options) => {
    handler[STREAMING] = "response";
    const mark = Number.parseInt(options?.highWaterMark, 10);
    if (mark > 0) handler[HIGH_WATER_MARK] = mark;
    return handler;
  },
  HttpResponseStream,
};

patchConsole();
process.chdir(ROOT);

let handler;
try {
  handler = await loadHandler(process.env._HANDLER ?? "");
} catch (error) {
  await postInitError(error);
  process.exit(1);
}
for (;;) await serveOne(handler);
