// The JSON API described for programs (OpenAPI 3.0): served at /api/v1/openapi.json and printed by --openapi.
#include "ddns-server/pages.h"

namespace portolan::ddnsd {
namespace {

constexpr std::string_view description = R"json({
  "openapi": "3.0.3",
  "info": {
    "title": "portolan-ddnsd",
    "version": "1",
    "description": "Names for services behind shared addresses: what can be found under a name, with the outside port."
  },
  "security": [{"token": []}],
  "paths": {
    "/api/v1/names/{name}": {
      "parameters": [{"$ref": "#/components/parameters/name"}],
      "get": {
        "summary": "What is registered under the name.",
        "responses": {
          "200": {"description": "The name.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Name"}}}},
          "401": {"$ref": "#/components/responses/unauthorized"},
          "403": {"$ref": "#/components/responses/forbidden"},
          "404": {"$ref": "#/components/responses/unknown"},
          "429": {"$ref": "#/components/responses/too_many"}
        }
      }
    },
    "/api/v1/names/{name}/services/{id}": {
      "parameters": [{"$ref": "#/components/parameters/name"}, {"$ref": "#/components/parameters/id"}],
      "put": {
        "summary": "Registers a service, or renews it. The same again changes nothing but its lifetime.",
        "requestBody": {
          "required": true,
          "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Registration"}}}
        },
        "responses": {
          "200": {"description": "Registered.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Registered"}}}},
          "400": {"$ref": "#/components/responses/invalid"},
          "401": {"$ref": "#/components/responses/unauthorized"},
          "403": {"$ref": "#/components/responses/forbidden"},
          "404": {"$ref": "#/components/responses/unknown"},
          "409": {"$ref": "#/components/responses/conflict"},
          "413": {"$ref": "#/components/responses/invalid"},
          "415": {"$ref": "#/components/responses/invalid"},
          "429": {"$ref": "#/components/responses/too_many"},
          "503": {"$ref": "#/components/responses/later"}
        }
      },
      "delete": {
        "summary": "Ends a service. There being none is no error.",
        "responses": {
          "204": {"description": "It is gone."},
          "401": {"$ref": "#/components/responses/unauthorized"},
          "403": {"$ref": "#/components/responses/forbidden"},
          "404": {"$ref": "#/components/responses/unknown"},
          "429": {"$ref": "#/components/responses/too_many"}
        }
      }
    }
  },
  "components": {
    "securitySchemes": {
      "token": {"type": "http", "scheme": "bearer", "description": "ACCOUNT:TOKEN as account add printed it."}
    },
    "parameters": {
      "name": {"name": "name", "in": "path", "required": true, "description": "A registered name.", "schema": {"type": "string", "example": "home1.example"}},
      "id": {"name": "id", "in": "path", "required": true, "description": "Chosen by the client; stays while address and port change.", "schema": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", "example": "web"}}
    },
    "schemas": {
      "Registration": {
        "type": "object",
        "additionalProperties": false,
        "required": ["port"],
        "properties": {
          "protocol": {"type": "string", "enum": ["tcp", "udp"], "default": "tcp"},
          "address": {"type": "string", "format": "ipv4", "description": "The outside address. Left out: where the request comes from."},
          "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "The outside port."},
          "scheme": {"type": "string", "description": "Of the URI, of those a portal may link to; empty: listed without a link. Left out: as the id says (web is http)."},
          "path": {"type": "string", "maxLength": 512, "pattern": "^(/.*)?$"},
          "title": {"type": "string", "maxLength": 120},
          "type": {"type": "string", "maxLength": 15, "description": "Service name in the DNS (RFC 6335), ipp for _ipp._tcp. Empty: as the scheme says, else the id."},
          "lifetime_s": {"type": "integer", "minimum": 1, "default": 2592000, "description": "Seconds until it ends unless renewed; 30 days at most."}
        }
      },
      "Service": {
        "type": "object",
        "properties": {
          "id": {"type": "string"},
          "protocol": {"type": "string"},
          "address": {"type": "string"},
          "port": {"type": "integer"},
          "scheme": {"type": "string"},
          "path": {"type": "string"},
          "title": {"type": "string"},
          "type": {"type": "string"},
          "uri": {"type": "string"},
          "lifetime_s": {"type": "integer"},
          "updated_at": {"type": "integer", "description": "Seconds since 1970 of the last change."}
        }
      },
      "Registered": {
        "allOf": [
          {"$ref": "#/components/schemas/Service"},
          {"type": "object", "properties": {"name": {"type": "string"}, "changed": {"type": "boolean", "description": "False: only the lifetime is new."}}}
        ]
      },
      "Name": {
        "type": "object",
        "properties": {
          "name": {"type": "string"},
          "address": {"type": "string", "nullable": true, "description": "As a client without ports has said."},
          "services": {"type": "array", "items": {"$ref": "#/components/schemas/Service"}},
          "waiting": {"type": "array", "items": {"type": "string"}, "description": "Services whose mapping has ended; they are back with it."}
        }
      },
      "Error": {
        "type": "object",
        "properties": {
          "error": {
            "type": "object",
            "properties": {
              "code": {"type": "string", "enum": ["invalid_service", "invalid_protocol", "invalid_address", "invalid_port", "invalid_scheme", "invalid_path", "invalid_title", "invalid_type", "invalid_lifetime_s", "invalid_json", "unknown_member", "unsupported_media_type", "body_too_large", "header_too_large", "unauthorized", "not_yours", "not_bound", "suspended", "no_such_name", "no_such_resource", "method_not_allowed", "too_many_services", "not_mapped", "too_many_attempts", "too_many_updates", "authority_unreachable", "busy", "internal", "bad_request"]},
              "message": {"type": "string", "description": "For people."}
            }
          }
        }
      }
    },
    "responses": {
      "invalid": {"description": "Something in the request is wrong; nothing was changed.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
      "unauthorized": {"description": "No account and token, or wrong ones.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
      "forbidden": {"description": "not_yours, not_bound, suspended.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
      "unknown": {"description": "no_such_name.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
      "conflict": {"description": "not_mapped: the AFTR has not mapped this port to the account's subscriber; too_many_services.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
      "too_many": {"description": "Of failed attempts or updates; Retry-After says when.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
      "later": {"description": "authority_unreachable, busy; Retry-After says when.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    }
  }
}
)json";

}  // namespace

std::string_view openapi() { return description; }

}  // namespace portolan::ddnsd
