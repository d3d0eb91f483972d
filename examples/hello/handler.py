"""The smallest function: greets, and says what it knows of itself."""


def handler(event, context):
    print("greeting", event.get("name", "world"))
    return {
        "message": f"hello, {event.get('name', 'world')}",
        "function": context.function_name,
        "remaining_ms": context.get_remaining_time_in_millis(),
    }
