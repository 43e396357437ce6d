<?php
/**
 * Plugin Name: Relay Chat
 * Description: Adds the chat of an AnyFrame Relay to every page. Define RELAY_CHAT_URL in wp-config.php:
 *              define( 'RELAY_CHAT_URL', 'https://relay.example.com' );
 * Version: 1.0
 * License: MIT
 */

defined( 'ABSPATH' ) || exit;

add_action( 'wp_enqueue_scripts', function () {
	if ( defined( 'RELAY_CHAT_URL' ) ) {
		// No version in the URL: the relay's own headers say how long it may be cached.
		wp_enqueue_script( 'relay-chat', untrailingslashit( RELAY_CHAT_URL ) . '/widget.js', array(), null, array( 'strategy' => 'async' ) );
	}
} );

add_filter( 'wp_script_attributes', function ( $attributes ) {
	if ( 'relay-chat-js' === ( $attributes['id'] ?? '' ) ) {
		$attributes['data-title']  = get_bloginfo( 'name' );
		$attributes['data-locale'] = substr( get_locale(), 0, 2 );
	}
	return $attributes;
} );
